/** Throws an error that says what was found and expected, without any piece of the URI: it may belong to a password. */
export type Fail = (problem: string) => never;

/** Checks what the URI of a broker or a server must not contain, whatever its scheme. */
export function checkUriText(uri: string, fail: Fail): void {
  if (/[\s\p{Cc}\p{Cs}]/u.test(uri)) {
    fail(
      "found a space, a control character or half a surrogate pair, expected it percent-encoded",
    );
  }
  if (!/^[^/]*\/\/(?:[^/?#@]*@)?[^@]*$/.test(uri)) {
    fail(
      "found a misplaced @, expected at most one, before the host; " +
        "write @ elsewhere as %40, and in a password / as %2F, ? as %3F, # as %23",
    );
  }
  if (uri.includes("#")) fail("found a fragment, expected none; write # as %23");
}
