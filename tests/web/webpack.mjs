// Bundles main.js of the current folder with webpack, and prints its warnings and errors as JSON.
import { createRequire } from "node:module";
import process from "node:process";

const webpack = createRequire(`${process.cwd()}/`)("webpack");
webpack({
  mode: "production",
  target: "web",
  entry: "./main.js",
  output: { path: process.cwd(), filename: "webpack.js" },
}, (error, stats) => {
  if (error) throw error;
  const { warnings, errors } = stats.toJson({ all: false, warnings: true, errors: true });
  process.stdout.write(JSON.stringify([...warnings, ...errors].map(({ message }) => message)));
});
