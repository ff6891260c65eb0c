// What is published: its size and its files.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const folder = new URL("..", import.meta.url);

test("the module is under 6 KB compressed", () => {
  const size = gzipSync(readFileSync(new URL("dist/hornbeam.js", folder)), { level: 9 }).length;
  assert.ok(size > 1000 && size < 6000, `${size} bytes`);
});

test("the package holds the module, its types, README and licence, and nothing else", () => {
  const listed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: folder, encoding: "utf8" });
  const files = [JSON.parse(listed)].flat().map((pack) => pack.files ?? Object.values(pack)[0].files)[0].map(({ path }) => path);
  assert.deepEqual(files.filter((path) => !path.endsWith(".d.ts")).sort(), ["LICENSE", "README.md", "dist/hornbeam.js", "package.json"]);
  assert.ok(files.includes("dist/index.d.ts"));
});

test("it depends on nothing", () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
});

test("types hide what is internal", () => {
  const types = readFileSync(new URL("dist/channel.d.ts", folder), "utf8");
  assert.match(types, /push\(event: string/);
  assert.doesNotMatch(types, /opened|receive\(|lost/);
});
