import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";

/** A registry of npm packages at a port of 127.0.0.1, as npm, Deno and Bun read it. */
export interface Registry extends AsyncDisposable {
  /** Its address, for example `http://127.0.0.1:40123/`. */
  readonly url: string;
}

/** A package with one version. */
export interface Published {
  /** Its package.json. */
  readonly manifest: { readonly name: string; readonly version: string };
  readonly tarball: Uint8Array;
}

/** Serves packages and no others: a request for another package is answered with 404. */
export async function startRegistry(packages: readonly Published[]): Promise<Registry> {
  const byName = new Map(packages.map((each) => [each.manifest.name, each]));
  const server = createServer((request, response) => {
    const [name, file] = decodeURIComponent(request.url ?? "").slice(1).split("/-/");
    const found = byName.get(name!);
    if (found === undefined) return void response.writeHead(404).end("{}");
    if (file !== undefined) return void response.end(found.tarball);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(documentOf(found, url)));
  });
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function documentOf({ manifest, tarball }: Published, url: string): object {
  const { name, version } = manifest;
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const dist = { tarball: `${url}${name}/-/${version}.tgz`, integrity };
  return {
    name,
    "dist-tags": { latest: version },
    time: { [version]: "2026-01-01T00:00:00.000Z" },
    versions: { [version]: { ...manifest, dist } },
  };
}

/** The variables with which npm, Deno and Bun use a registry. */
export function registryEnv({ url }: Registry): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^npm_/i.test(name)) env[name] = value;
  }
  return { ...env, NPM_CONFIG_REGISTRY: url, npm_config_registry: url };
}
