"""A client of pyzmq: sends messages to an echo server, and prints the sizes of what comes back, or nothing."""
import sys

import zmq

mechanism, address, wait, idle, *credentials = sys.argv[1:]
context = zmq.Context()
dealer = context.socket(zmq.DEALER)
dealer.setsockopt(zmq.HEARTBEAT_IVL, 500)
dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)  # by default the interval: a busy machine needs longer
dealer.setsockopt(zmq.RECONNECT_IVL, -1)  # the connection must last
if mechanism == "PLAIN":
    dealer.plain_username, dealer.plain_password = (text.encode() for text in credentials)
if mechanism == "CURVE":
    keys = [bytes.fromhex(text) for text in credentials]
    dealer.curve_serverkey, dealer.curve_publickey, dealer.curve_secretkey = keys
dealer.connect(address)
for size in (0, 1, 300, 70_000):
    dealer.send(b"x" * size)
for _ in range(4):
    if not dealer.poll(int(wait)):
        print("nothing")
        break
    print(len(dealer.recv()))
monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
if dealer.poll(int(idle)):  # meanwhile the two ends ping each other
    print("too much")
if monitor.poll(0):
    print("disconnected")
context.destroy(linger=0)
