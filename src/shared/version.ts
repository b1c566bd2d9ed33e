/** The version of the library, which is that of deno.json. `deno task release` sets both. */
export const version = "0.1.0";
