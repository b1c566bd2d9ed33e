/** The npm packages that tests use: they are pinned, and their lock files name no registry. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TESTS } from "./support/test_files.ts";

const packages = join(TESTS, "packages");

for (const name of readdirSync(packages)) {
  const read = (file: string) => readFileSync(join(packages, name, file), "utf8");

  Deno.test(`tests/packages/${name}: each version is exact, and the lock has no addresses`, () => {
    const { dependencies } = JSON.parse(read("package.json"));
    const isExact = (version: string) => /^(npm:[^@]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version);
    const versions = Object.values<string>(dependencies);
    assert.deepEqual(versions.filter((version) => !isExact(version)), []);

    const lock = JSON.parse(read("package-lock.json"));
    assert.deepEqual(lock.packages[""].dependencies, dependencies, "run npm install again");
    assert.deepEqual(Object.keys(lock.packages).filter((key) => lock.packages[key].resolved), []);
    assert.match(read(".npmrc"), /^omit-lockfile-registry-resolved=true$/m);
  });
}
