/**
 * Returns the text of a script: of the definitions that it may use, those that it uses, and then its own text. A server runs the whole
 * text at each call, so each key and each function costs a part of a microsecond.
 *
 * @param definitions paragraphs; one that defines names is left out if nothing that follows mentions one of them
 */
export function compose(definitions: string, own: string): string {
  let text = own;
  for (const paragraph of definitions.split(/\n\n+/).reverse()) {
    const names = [...paragraph.matchAll(/^local (?:function )?(\w+)/gm)].map(([, name]) => name!);
    if (names.length === 0 || names.some((name) => mentions(text, name))) {
      text = `${paragraph}\n\n${text}`;
    }
  }
  return keysOf(text) + text;
}

/** Returns the definitions of the names of those keys that a text mentions, and of `keys`, which are all. */
function keysOf(text: string): string {
  const all = mentions(text, "keys");
  const names = keyNames.filter((name) => all || mentions(text, name));
  const lines = names.map((name) => `local ${name} = KEYS[1] .. ':${name}'\n`);
  return lines.join("") + (all ? `local keys = {${keyNames.join(", ")}}\n` : "");
}

function mentions(text: string, name: string): boolean {
  return new RegExp(`(?<![\\w'.:])${name}(?![\\w'])`).test(text.replaceAll(/^ *--.*$/gm, ""));
}

/** What the keys of a channel are called, after its own name. docs/internals/redis.md describes them. */
const keyNames = [
  "meta",
  "ready",
  "bodies",
  "loans",
  "tries",
  "terms",
  "ends",
  "delayed",
  "takers",
  "askers",
  "links",
  "putters",
] as const;
