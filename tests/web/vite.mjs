// Bundles main.js of the current folder with Vite, and prints its warnings as JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import process from "node:process";

const { build, createLogger } = await import(
  pathToFileURL(createRequire(`${process.cwd()}/`).resolve("vite")).href
);
const warnings = [];
const customLogger = createLogger("warn");
customLogger.warn = customLogger.warnOnce = customLogger.error = (text) => warnings.push(text);
await build({
  configFile: false,
  customLogger,
  build: {
    outDir: "dist",
    minify: true,
    lib: { entry: "main.js", formats: ["iife"], name: "program", fileName: () => "vite.js" },
  },
});
process.stdout.write(JSON.stringify(warnings));
