# The Python worker of channelpy.ts, with ChannelPy:
#
#   pip install channelpy
#   python3 channelpy_worker.py amqp://guest:guest@localhost:5672
#
# It ends when the channel is closed for everyone. ChannelPy acknowledges a job before the work on it: if this process
# is killed during a job, the job is lost, and its requester waits until its timeout.

import sys
import time

from channelpy import Channel, ChannelClosedException

uri = sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@localhost:5672"
jobs = Channel(name="examples-squares", uri=uri)
print("the Python worker is ready", flush=True)
try:
    while True:
        job = jobs.get()
        time.sleep(0.02)  # the work
        reply_to = job["reply_to"]  # a channel, as its sender's put_sync or request has made it
        reply_to.put({"n": job["value"], "square": job["value"] ** 2, "by": "Python"})
        reply_to.close()
except ChannelClosedException:
    print("the Python worker ends", flush=True)
