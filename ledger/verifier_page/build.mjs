// Builds docs/verify.html, one file that needs no other; with --check it writes nothing and fails on a difference.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { build } from 'esbuild';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TARGET = path.join(HERE, '..', '..', 'docs', 'verify.html');
const read = (name) => readFileSync(path.join(HERE, name), 'utf8');
const hashed = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const bundled = await build({
  absWorkingDir: HERE, entryPoints: ['page.js'], bundle: true, write: false, format: 'iife', target: 'es2022',
  charset: 'utf8', minify: true, legalComments: 'inline', logLevel: 'error',
});
const script = bundled.outputFiles[0].text.trim().replaceAll('</script', '<\\/script');
const style = read('page.css').trim();
const policy = `default-src 'none'; script-src ${hashed(script)}; style-src ${hashed(style)}; base-uri 'none'; form-action 'none'`;
const made = read('page.html').replace('@CSP@', () => policy).replace('@CSS@', () => style).replace('@SCRIPT@', () => script);
if (!process.argv.includes('--check')) {
  writeFileSync(TARGET, made);
} else if (readFileSync(TARGET, 'utf8') !== made) {
  console.error('docs/verify.html is not what its sources make: node ledger/verifier_page/build.mjs');
  process.exit(1);
}
