"""Reads CBOR with Python's cbor2 and writes it anew.

Each line of the input is a message in hex digits. Each line of the output is a JSON object: what Python
made of it (`read`, a repr) and how it writes that (`written`, hex digits), or what it says instead
(`error`). With the argument `--check` it only tells by its exit code whether cbor2 is there.
"""

import json
import sys

import cbor2


def answer(digits):
    message = bytes.fromhex(digits)
    value = cbor2.loads(message)
    written = cbor2.dumps(
        value,
        datetime_as_timestamp=True,
        # Tags 28 and 29. It marks every container, so only where the message has them, too.
        value_sharing=b"\xd8\x1c" in message,
    )
    return {"read": repr(value), "written": written.hex()}


def main():
    for line in sys.stdin:
        try:
            reply = answer(line.strip())
        except Exception as error:
            reply = {"error": repr(error)}
        print(json.dumps(reply), flush=True)


if "--check" not in sys.argv:
    main()
