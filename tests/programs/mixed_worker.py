"""A worker that speaks the protocol of a home: mixed_worker.py ADDRESS CHANNEL. Each job is JSON: a number, and the
channel for the answer."""
import itertools
import json
import sys

import zmq

socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
numbers = itertools.count(1)


def call(word, link, fields=None, body=b""):
    """Sends a request and returns the words and the body of its answer."""
    r = next(numbers)
    header = f"{word} {link} {r}" + (" " + json.dumps(fields) if fields else "")
    socket.send(header.encode() + b"\n" + body)
    while True:
        frame, _, rest = socket.recv().partition(b"\n")
        words = frame.decode().split(" ")
        if words[0] in ("OK", "LEND", "NO") and words[1] == str(r):
            return words, rest


socket.send(b'HELLO {"version":1,"name":"Python"}')
assert socket.recv().startswith(b"WELCOME "), "refused"
assert call("OPEN", 1, {"name": sys.argv[2]})[0][0] == "OK"
print("ready", flush=True)
for link in itertools.count(2):
    words, body = call("TAKE", 1)
    if words[0] == "NO":
        assert "ChannelClosedError" in " ".join(words), words
        break
    job = json.loads(body)
    assert call("OPEN", link, {"name": job["replyTo"]["name"], "create": False})[0][0] == "OK"
    answer = {"who": "Python", "n": job["n"], "square": job["n"] ** 2, "text": job["text"].upper()}
    put = call("PUT", link, {"contentType": "application/json"}, json.dumps(answer).encode())
    assert put[0][0] == "OK", put
    call("CLOSE", link)
    socket.send(f"ACC {words[1]}".encode())
print("ended", flush=True)
socket.close(linger=2000)
