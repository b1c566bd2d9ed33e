/** The application that `tests/bundlers_test.ts` builds with Next: its files, by their paths. */
export const nextApp: Readonly<Record<string, string>> = {
  "app/edge/route.js": `
import { exercise } from "../exercise.js";

export const runtime = "edge";

export async function GET() {
  try {
    return Response.json({ parts: await exercise() });
  } catch (error) {
    return Response.json({ error: \`\${error}\` });
  }
}
`,
  "app/layout.jsx": `
export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
`,
  "app/page.jsx": `
"use client";

import { useEffect, useState } from "react";
import { exercise } from "./exercise.js";

export default function Page() {
  const [result, setResult] = useState();
  useEffect(() => {
    exercise().then((parts) => setResult({ parts }), (error) => setResult({ error: \`\${error}\` }));
  }, []);
  return <output>{result && JSON.stringify(result)}</output>;
}
`,
};
