/** A string or a template of a source. */
export interface Literal {
  /** The line on which it begins. */
  readonly line: number;
  /** Its text, with `\0` for each inserted value. Texts that `+` joins are one literal. */
  readonly text: string;
}

/**
 * Returns the strings and templates of a TypeScript source, those inside templates included. The source is formatted
 * and correct; this is only enough of a scanner to tell strings from comments and regular expressions.
 */
export function literalsOf(source: string): Literal[] {
  const literals: Literal[] = [];
  scan(source, 0, literals);
  return literals;
}

/** Scans to the brace that closes the value of a template, or to the end. Returns the index after it. */
function scan(source: string, at: number, literals: Literal[]): number {
  let depth = 0;
  let last: Literal | undefined; // the literal that was read last, if only `+` follows it
  let isJoined = false; // whether `+` follows it
  const add = (start: number, text: string) => {
    if (isJoined) text = literals.splice(literals.lastIndexOf(last!), 1)[0]!.text + text;
    last = { line: source.slice(0, start).split("\n").length, text };
    literals.push(last);
    isJoined = false;
  };
  while (at < source.length) {
    const rest = source.slice(at, at + 2);
    if (rest === "//") at = indexAfter(source, "\n", at);
    else if (rest === "/*") at = indexAfter(source, "*/", at);
    else if (rest[0] === '"' || rest[0] === "'") {
      const [token] = /^(["'])(?:\\[^]|[^\\])*?\1/.exec(source.slice(at))!;
      add(at, token.slice(1, -1).replaceAll(/\\([^])/g, "$1"));
      at += token.length;
    } else if (rest[0] === "`") {
      const start = at++;
      let text = "";
      while (source[at] !== "`") {
        if (source.startsWith("${", at)) {
          at = scan(source, at + 2, literals);
          text += "\0";
        } else {
          if (source[at] === "\\") at++;
          text += source[at++];
        }
      }
      at++;
      add(start, text);
    } else if (rest[0] === "/" && /(?:[(,=:[!&|?{>]|\breturn)\s*$/.test(source.slice(0, at))) {
      at += /^\/(?:\\.|\[(?:\\.|[^\]\n\\])*\]|[^/\n\\])+\//.exec(source.slice(at))![0].length;
    } else {
      if (rest[0] === "{") depth++;
      if (rest[0] === "}" && depth-- === 0) return at + 1;
      if (/\S/.test(rest[0]!)) {
        isJoined = rest[0] === "+" && last !== undefined;
        if (!isJoined) last = undefined;
      }
      at++;
    }
  }
  return at;
}

function indexAfter(source: string, text: string, from: number): number {
  const found = source.indexOf(text, from);
  return found < 0 ? source.length : found + text.length;
}
