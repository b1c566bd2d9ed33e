/**
 * Returns the text of a script: of the definitions that it may use, those that it uses, and then its own text. A server runs the whole
 * text at each call, so each key and each function costs a part of a microsecond. So the plain case, which returns, comes before
 * what it does not use.
 *
 * @param definitions paragraphs; one that defines names is left out if nothing that follows mentions one of them. The first one
 * comes before the plain case.
 */
export function compose(definitions: string, own: string, plain = ""): string {
  const [first = "", ...others] = definitions.split(/\n\n+/);
  if (plain === "") return withKeys(withUsed([first, ...others], own));
  const early = withKeys(withUsed([first, ...others.filter(isDefinition)], plain));
  return `${early}\n${withKeys(withUsed(others, own), early)}`;
}

/** Reports whether a paragraph only defines functions. */
function isDefinition(paragraph: string): boolean {
  return /^(?:--.*\n)*local function/.test(paragraph);
}

function withUsed(definitions: readonly string[], own: string): string {
  let text = own;
  for (const paragraph of definitions.toReversed()) {
    const names = [...paragraph.matchAll(/^local (?:function )?(\w+)/gm)].map(([, name]) => name!);
    if (names.length === 0 || names.some((name) => mentions(text, name))) {
      text = `${paragraph}\n\n${text}`;
    }
  }
  return text;
}

/** Adds the definitions of the names of those keys that a text mentions, and of `keys`, which are all, unless `early` has them. */
function withKeys(text: string, early = ""): string {
  const all = mentions(text, "keys");
  const names = keyNames.filter((name) =>
    (all || mentions(text, name)) && !early.includes(`local ${name} =`)
  );
  const lines = names.map((name) => `local ${name} = KEYS[1] .. ':${name}'\n`);
  const list = all ? `local keys = {${keyNames.join(", ")}}\n` : "";
  return lines.join("") + list + text;
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
