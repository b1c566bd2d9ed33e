"""An end of `zmtp.ts` with pyzmq: zmtp_peer.py receive NULL|CURVE PATTERN KEYS…, or send NULL|CURVE PATTERN PORT KEYS…"""
import sys

import zmq

role, mechanism, pattern, *rest = sys.argv[1:]
context = zmq.Context()
push, pull = (zmq.PUSH, zmq.PULL) if pattern == "PUSH" else (zmq.DEALER, zmq.ROUTER)
socket = context.socket(pull if role == "receive" else push)
answers = context.socket(zmq.PAIR)
if role == "receive":
    if mechanism == "CURVE":
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = map(bytes.fromhex, rest)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    print(port, answers.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    while True:
        if socket.recv_multipart()[-1] == b"END":
            answers.send(b"DONE")
port, answer, *keys = rest
if mechanism == "CURVE":
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = map(bytes.fromhex, keys)
socket.connect(f"tcp://127.0.0.1:{port}")
answers.connect(f"tcp://127.0.0.1:{answer}")
for line in sys.stdin:
    count, size = map(int, line.split())
    message = b"x" * size
    for _ in range(count):
        socket.send(message)
    socket.send(b"END")
    answers.recv()
    print("done", flush=True)
