"""Reads CBOR with Python's cbor2 and writes it again.

Each line of the input is a message in hexadecimal digits. Each line of the output is a JSON object: the repr of the
value (`read`) and the value as Python writes it (`written`, hexadecimal digits), or an error (`error`). With the
argument `--check` the exit code only reports whether cbor2 is installed.
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
        # Tags 28 and 29. cbor2 marks every container, so this is enabled only if the message has them.
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
