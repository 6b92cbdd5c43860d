// The transparency log: inclusion (RFC 6962), checkpoints as C2SP signed notes, cosignatures. As ledger/{merkle,checkpoint}.py.
import { ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { Refused, base64, concat, number, same, sha256, unbase64, unhex, utf8 } from './bytes.js';

// what Python's \s means, which is not what it means here
const BLANK = '\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const BODY = new RegExp(
  `^([^\\n+${BLANK}]{1,200})\\n(0|[1-9][0-9]{0,18})\\n([A-Za-z0-9+/]{43}=)\\n((?:[!-~](?:[ -~]{0,298}[!-~])?\\n){0,8})$`, 'u');
const LINE = new RegExp(`\\u2014 ([^\\n+${BLANK}]{1,200}) ([A-Za-z0-9+/]{1,400}={0,2})\\n`, 'uy');
const ANCHOR = 'xinglin-anchor/1';
const NUMERAL = '(0|[1-9][0-9]{0,18})';
const ANCHOR_LINE = new RegExp(`^xinglin-anchor/1 ${NUMERAL} ${NUMERAL} ${NUMERAL} (0x[0-9a-f]{64})$`);
const LOG_KEY = 1;
const WITNESS_KEY = 4;

const malformed = (message) => new Refused('checkpoint.malformed', message);
const node = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

/** The subtrees [from, to) whose roots are the path of leaf `index`, nearest first. */
export function inclusionRanges(index, size) {
  const at = BigInt(index);
  if (at >= size) throw new Refused('proof.form', 'no such leaf');
  let [start, end] = [0n, size];
  const found = [];
  while (end - start > 1n) {
    const middle = start + (1n << BigInt((end - start - 1n).toString(2).length - 1));
    found.unshift(at < middle ? [middle, end] : [start, middle]);
    [start, end] = at < middle ? [start, middle] : [middle, end];
  }
  return found;
}

/** The root that a leaf's commitment and its path lead to, in a tree of `size` leaves. */
export function rootFromPath(commitment, index, size, path) {
  let [position, last, found] = [BigInt(index), size - 1n, sha256(concat(Uint8Array.of(0), commitment))];
  if (position > last || path.some((one) => one.length !== 32)) throw new Refused('proof.form', 'not of this tree');
  for (const sibling of path) {
    if (last === 0n) throw new Refused('proof.form', 'the inclusion proof is too long');
    if (position & 1n || position === last) {
      found = node(sibling, found);
      while (!(position & 1n) && position) [position, last] = [position >> 1n, last >> 1n];
    } else {
      found = node(found, sibling);
    }
    [position, last] = [position >> 1n, last >> 1n];
  }
  if (last !== 0n) throw new Refused('proof.form', 'the inclusion proof is too short');
  return found;
}

export function verifyInclusion(commitment, index, size, path, root) {
  if (!same(rootFromPath(commitment, index, size, path), root)) {
    throw new Refused('proof.inclusion', 'the path leads to another root');
  }
}

/** A parsed checkpoint; nothing in it is verified yet. */
export function parseNote(note) {
  const cut = note.indexOf('\n\n');
  const found = cut < 0 ? null : BODY.exec(note.slice(0, cut) + '\n');
  if (!found) throw malformed('this is not a checkpoint');
  const rest = note.slice(cut + 2);
  const signatures = [];
  let end = 0;
  for (;;) {
    LINE.lastIndex = end;
    const line = LINE.exec(rest);
    if (!line) break;
    const raw = unbase64(line[2]);
    signatures.push({ name: line[1], hint: raw.slice(0, 4), value: raw.slice(4) });
    end = LINE.lastIndex;
  }
  if (end !== rest.length || !signatures.length) throw malformed('a signature line of the checkpoint is malformed');
  return {
    body: found[0], origin: found[1], size: BigInt(found[2]), root: unbase64(found[3]),
    extensions: found[4].split('\n').slice(0, -1), signatures,
  };
}

function hintOf(name, kind, key) {
  return sha256(concat(utf8(name + '\n'), Uint8Array.of(kind), unhex(key))).slice(0, 4);
}

/** As the verifier in Python: without the cofactor, by which a key's owner could make a signature that holds here alone. */
export function ed25519Holds(key, signature, data) {
  const { Point } = ed25519;
  try {
    if (!ed25519.verify(signature, data, unhex(key), { zip215: false })) return false;
    const [r, s] = [signature.slice(0, 32), number(signature.slice(32).reverse())];
    const k = number(sha512(concat(r, unhex(key), data)).reverse()) % Point.Fn.ORDER;
    return same(Point.BASE.multiplyUnsafe(s).subtract(Point.fromBytes(unhex(key)).multiplyUnsafe(k)).toBytes(), r);
  } catch {
    return false;
  }
}

/** The checkpoint, if it is of this log and signed by the log's key exactly once. */
export function verifyCheckpoint(note, { origin, key }) {
  const parsed = parseNote(note);
  if (parsed.origin !== origin) throw new Refused('checkpoint.origin', 'the checkpoint is of another log');
  const lines = parsed.signatures.filter((one) => one.name === origin);
  if (lines.length !== 1 || !same(lines[0].hint, hintOf(origin, LOG_KEY, key))) {
    throw new Refused('checkpoint.signature', "the checkpoint is not signed by the log's key");
  }
  if (!ed25519Holds(key, lines[0].value, utf8(parsed.body))) {
    throw new Refused('checkpoint.signature', "the log's signature on the checkpoint is wrong");
  }
  return parsed;
}

/** How many of these witnesses have cosigned. */
export function cosigned(parsed, keys) {
  return keys.filter((key) => parsed.signatures.some((line) => {
    if (line.value.length !== 72 || !same(line.hint, hintOf(line.name, WITNESS_KEY, key))) return false;
    const at = number(line.value.slice(0, 8));
    if (at <= 0n || at >= 2n ** 63n) return false;
    return ed25519Holds(key, line.value.slice(8), utf8(`cosignature/v1\ntime ${at}\n${parsed.body}`));
  })).length;
}

/** The anchor that a checkpoint names, or null. */
export function anchorSeen(parsed) {
  const lines = parsed.extensions.filter((one) => one.split(' ')[0] === ANCHOR);
  if (!lines.length) return null;
  const found = ANCHOR_LINE.exec(lines[0]);
  if (!found || lines.length !== 1) throw malformed('the checkpoint names its anchor in another form, or twice');
  const seen = { chainId: BigInt(found[1]), size: BigInt(found[2]), block: BigInt(found[3]), hash: found[4] };
  if (seen.size <= 0n || seen.size > parsed.size) throw malformed('the checkpoint names an anchor it does not hold');
  return seen;
}

export { base64 };
