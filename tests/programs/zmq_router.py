"""Echo servers of pyzmq with NULL, PLAIN and CURVE: prints their ports, and sends each message back."""
import sys
import threading

import zmq

home_public, home_secret, peer_public = (bytes.fromhex(text) for text in sys.argv[1:])
context = zmq.Context()
zap = context.socket(zmq.REP)
zap.bind("inproc://zeromq.zap.01")


def admit():
    while True:
        version, request, _, _, _, mechanism, *credentials = zap.recv_multipart()
        known = credentials in ([b"user", b"secret"], [peer_public]) or mechanism == b"NULL"
        zap.send_multipart([version, request, b"200" if known else b"400", b"", b"", b""])


threading.Thread(target=admit, daemon=True).start()
poller = zmq.Poller()
ports = []
for mechanism in ("NULL", "PLAIN", "CURVE"):
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.HEARTBEAT_IVL, 500)
    router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)  # by default the interval: a busy machine needs longer
    if mechanism == "PLAIN":
        router.plain_server = True
    if mechanism == "CURVE":
        router.curve_server = True
        router.curve_publickey, router.curve_secretkey = home_public, home_secret
    ports.append(router.bind_to_random_port("tcp://127.0.0.1"))
    poller.register(router, zmq.POLLIN)
print(*ports, flush=True)
while True:
    for router, _ in poller.poll():
        router.send_multipart(router.recv_multipart())
