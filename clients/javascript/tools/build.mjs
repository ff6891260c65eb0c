// Builds dist: one minified module for all targets, and the types beside it. Run by `npm run build`.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${folder}/dist`, { recursive: true, force: true });
await build({
  absWorkingDir: folder,
  entryPoints: ["src/index.ts"],
  outfile: "dist/hornbeam.js",
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
});
execFileSync(
  process.execPath,
  ["node_modules/typescript/bin/tsc", "--emitDeclarationOnly"],
  { cwd: folder, stdio: "inherit" },
);
