// RLP, block headers, account and storage proofs; the same as ledger/chainproof.py. Strict: one spelling, nothing behind.
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { Refused, concat, hex, keccak, number, numberBytes, same, unhex, word } from './bytes.js';

const MAX_DEPTH = 8;
const [INTEGER, EXTRA] = [-1, -2];
const HEADER = [32, 32, 20, 32, 32, 32, 256, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, EXTRA, 32, 8, INTEGER, 32,
  INTEGER, INTEGER, 32, 32];
const FORKS = [15, 16, 17, 20, 21];
const [UNCLES, STATE_ROOT, BLOOM, NUMBER, EXTRA_DATA] = [1, 3, 6, 8, 12];
const NO_UNCLES = keccak(Uint8Array.of(0xc0));
const ROOT_AT_SLOT = 6;

const malformed = (message) => new Refused('proof.malformed', message);
const otherwise = (message) => new Refused('proof.trie', message);

export function encode(item) {
  if (Array.isArray(item)) {
    const body = concat(...item.map(encode));
    return concat(head(0xc0, body.length), body);
  }
  if (item.length === 1 && item[0] < 0x80) return item;
  return concat(head(0x80, item.length), item);
}

function head(offset, length) {
  if (length < 56) return Uint8Array.of(offset + length);
  const size = numberBytes(BigInt(length));
  return concat(Uint8Array.of(offset + 55 + size.length), size);
}

export function decode(data) {
  const [item, end] = read(data, 0, data.length, 0);
  if (end !== data.length) throw malformed('there are bytes behind the RLP');
  return item;
}

function read(data, start, limit, depth) {
  if (start >= limit || depth > MAX_DEPTH) throw malformed('RLP ends too early, or is nested too deep');
  const first = data[start];
  if (first < 0x80) return [data.slice(start, start + 1), start + 1];
  let [begin, length] = [start + 1, first - (first < 0xc0 ? 0x80 : 0xc0)];
  if (length > 55) {
    const size = data.slice(begin, Math.min(begin + length - 55, limit));
    begin += length - 55;
    const said = number(size);
    if (!size.length || size[0] === 0 || said < 56n) throw malformed('RLP not in its one spelling');
    length = said > BigInt(limit) ? limit + 1 : Number(said);
  }
  const end = begin + length;
  if (end > limit) throw malformed('RLP ends too early');
  if (first < 0xc0) {
    if (length === 1 && data[begin] < 0x80) throw malformed('RLP not in its one spelling');
    return [data.slice(begin, end), end];
  }
  const items = [];
  while (begin < end) {
    let item;
    [item, begin] = read(data, begin, end, depth + 1);
    items.push(item);
  }
  return [items, end];
}

function spelledNumber(value) {
  if (value[0] === 0 || value.length > 32) throw malformed('a number is not in its one spelling');
  return number(value);
}

/** A parsed block header; that it is of any chain is not checked. */
export function readHeader(raw) {
  const fields = decode(raw);
  if (!Array.isArray(fields) || !FORKS.includes(fields.length)) throw malformed('not the fields of a block header');
  fields.forEach((value, at) => {
    if (Array.isArray(value) || (HEADER[at] >= 0 && value.length !== HEADER[at])) {
      throw malformed('a field of the header has another length');
    }
    if (HEADER[at] === INTEGER) spelledNumber(value);
  });
  return { fields, raw, stateRoot: fields[STATE_ROOT], number: number(fields[NUMBER]) };
}

function withExtra(header, extra) {
  return encode([...header.fields.slice(0, EXTRA_DATA), extra, ...header.fields.slice(EXTRA_DATA + 1)]);
}

function qbftExtra(header) {
  const extra = decode(header.fields[EXTRA_DATA]);
  const form = Array.isArray(extra) ? extra.map(Array.isArray).join() : '';
  if (form !== 'false,true,true,false,true' || extra[0].length !== 32 || extra[3].length > 4 || extra[3][0] === 0) {
    throw malformed('the extra data are not those of a QBFT block');
  }
  return extra;
}

/** A QBFT header as its hash sees it: no seals, round 0. */
export function unsealed(header) {
  const extra = qbftExtra(header);
  return withExtra(header, encode([...extra.slice(0, 3), new Uint8Array(), []]));
}

export function blockHash(header, profile) {
  return '0x' + hex(keccak(profile === 'qbft' ? unsealed(header) : header.raw));
}

export function addressOf(publicKey) {
  return '0x' + hex(keccak(publicKey).slice(-20));
}

/** The public key (64 bytes) that made a signature of r, s and v 27 or 28, over 32 bytes. */
export function recover(value, signature) {
  const order = secp256k1.Point.Fn.ORDER;
  const [r, s] = [number(signature.slice(0, 32)), number(signature.slice(32, 64))];
  if (signature.length !== 65 || ![27, 28].includes(signature[64])) throw new Refused('signature.invalid', 'v is not 27 or 28');
  if (r <= 0n || r >= order || s <= 0n || s > order / 2n) throw new Refused('signature.invalid', 'r or s is out of range');
  try {
    const found = secp256k1.Signature.fromBytes(signature.slice(0, 64), 'compact').addRecoveryBit(signature[64] - 27);
    return found.recoverPublicKey(value).toBytes(false).slice(1);
  } catch {
    throw new Refused('signature.invalid', 'no key could have made this signature');
  }
}

/** How many of these validators have sealed the block; two thirds must, and nobody else may. */
export function checkSeals(header, validators) {
  const extra = qbftExtra(header);
  const value = keccak(withExtra(header, encode([...extra.slice(0, 4), []])));
  const found = extra[4].map((seal) => {
    if (Array.isArray(seal) || seal.length !== 65 || seal[64] > 1) throw malformed('a seal has 65 bytes');
    return addressOf(recover(value, concat(seal.slice(0, 64), Uint8Array.of(seal[64] + 27))));
  });
  if (new Set(found).size !== found.length || !found.every((one) => validators.includes(one))) {
    throw new Refused('proof.seals', 'a seal is double, or not of a validator that the trust file names');
  }
  if (3 * found.length < 2 * validators.length) {
    throw new Refused('proof.seals', 'too few validators have sealed the block');
  }
  return found.length;
}

export function proveAccount(stateRoot, address, proof) {
  const fields = decode(walk(stateRoot, keccak(unhex(address)), proof));
  if (!Array.isArray(fields) || fields.length !== 4 || fields.some(Array.isArray)) throw malformed('not an account');
  const [nonce, balance, storageRoot, codeHash] = fields;
  if (storageRoot.length !== 32 || codeHash.length !== 32) throw malformed('not an account');
  spelledNumber(nonce);
  spelledNumber(balance);
  return { storageRoot, codeHash };
}

export function proveSlot(storageRoot, slot, proof) {
  const value = decode(walk(storageRoot, keccak(slot), proof));
  if (Array.isArray(value) || !value.length || value.length > 32 || value[0] === 0) throw malformed("not a slot's value");
  return concat(new Uint8Array(32 - value.length), value);
}

export function rootSlot(logId, size) {
  return keccak(concat(word(size), keccak(concat(unhex(logId), word(ROOT_AT_SLOT)))));
}

function halves(data) {
  return Array.from(data).flatMap((byte) => [byte >> 4, byte & 15]);
}

const walk = (root, key, proof) => wayOf(root, key, proof)[1];

/** Each node above the leaf with the place where it leads on, and the value. */
function wayOf(root, key, proof) {
  let [wanted, rest] = [root, halves(key)];
  const [nodes, way] = [[...proof], []];
  for (;;) {
    const node = nextNode(wanted, nodes);
    if (node.length === 17) {
      if (!rest.length) throw malformed('the key ends in a branch');
      way.push([node, rest[0]]);
      [wanted, rest] = [node[rest[0]], rest.slice(1)];
      continue;
    }
    const [path, isLeaf] = pathOf(node[0]);
    if (isLeaf) {
      if (path.join() !== rest.join() || Array.isArray(node[1]) || !node[1].length) throw otherwise('of another key');
      if (nodes.length) throw malformed('the proof has nodes that are not on the way');
      return [way, node[1]];
    }
    if (!path.length || rest.slice(0, path.length).join() !== path.join()) throw otherwise('of another key');
    way.push([node, 1]);
    [wanted, rest] = [node[1], rest.slice(path.length)];
  }
}

function nextNode(wanted, nodes) {
  let node = wanted;
  if (Array.isArray(wanted)) {
    if (encode(wanted).length >= 32) throw malformed('a node of 32 bytes and more stands inside another');
  } else {
    const raw = nodes.shift();
    if (!wanted.length || raw === undefined) throw otherwise('the proof ends before the key does');
    if (!same(keccak(raw), wanted)) throw otherwise('a node is not the one its parent names');
    node = decode(raw);
  }
  if (!Array.isArray(node) || ![2, 17].includes(node.length)) throw malformed('a node has 2 or 17 items');
  return node;
}

function pathOf(packed) {
  if (Array.isArray(packed) || !packed.length || packed[0] >> 4 > 3) throw malformed("a node's path is not of its form");
  const flag = packed[0] >> 4;
  const rest = halves(packed.slice(1));
  if (flag & 1) return [[packed[0] & 15, ...rest], flag > 1];
  if (packed[0] & 15) throw malformed("a node's path is not of its form");
  return [rest, flag > 1];
}

// --- written short: what follows from the rest is left out

/** A proof's nodes without its leaf, each with an empty place where it leads on; and the leaf's value. */
export function shorten(key, proof) {
  const [way, value] = wayOf(proof.length ? keccak(proof[0]) : new Uint8Array(), keccak(key), proof);
  return [way.map(([node, at]) => node.toSpliced(at, 1, new Uint8Array())), value];
}

/** The proof again, built up from the value at its foot. */
export function lengthen(key, short, value) {
  let rest = halves(keccak(key));
  const places = (Array.isArray(short) ? short : [short]).map((node) => {
    if (!Array.isArray(node) || ![2, 17].includes(node.length) || !rest.length) throw malformed('a node has 2 or 17 items');
    let [path, isLeaf] = [rest.slice(0, 1), false];
    if (node.length === 2) {
      [path, isLeaf] = pathOf(node[0]);
      if (isLeaf || !path.length || rest.slice(0, path.length).join() !== path.join()) throw malformed('not on the way');
    }
    const at = node.length === 2 ? 1 : path[0];
    if (node[at].length || Array.isArray(node[at])) throw malformed('a node says what follows from the one below it');
    rest = rest.slice(path.length);
    return [node, at];
  });
  const packed = rest.length % 2 ? [3, ...rest] : [2, 0, ...rest];
  const path = Uint8Array.from({ length: packed.length / 2 }, (_, at) => packed[2 * at] * 16 + packed[2 * at + 1]);
  let below = [path, value];
  const found = [];
  for (const [node, at] of places.toReversed()) {
    const spelled = encode(below);
    if (spelled.length >= 32) found.push(spelled);
    below = node.toSpliced(at, 1, spelled.length >= 32 ? keccak(spelled) : below);
  }
  return [encode(below), ...found.toReversed()];
}

/**
 * A header without the hash of no uncles, and with the numbers of its bloom's bits, two bytes each, in place of the
 * bloom where that is shorter.
 */
export function shortHeader(raw) {
  const fields = [...readHeader(raw).fields];
  const set = (bit) => (fields[BLOOM][bit >> 3] >> (7 - (bit & 7))) & 1;
  const bits = Array.from({ length: 2048 }, (_, bit) => bit).filter(set);
  if (2 * bits.length < 256) fields[BLOOM] = Uint8Array.from(bits.flatMap((bit) => [bit >> 8, bit & 255]));
  if (same(fields[UNCLES], NO_UNCLES)) fields[UNCLES] = new Uint8Array();
  return encode(fields);
}

export function longHeader(short) {
  const fields = decode(short);
  const bits = Array.isArray(fields) ? fields[BLOOM] : undefined;
  if (!bits || Array.isArray(bits) || bits.length % 2 || bits.length > 256) throw malformed("not a header's bits");
  if (bits.length < 256) {
    fields[BLOOM] = new Uint8Array(256);
    for (let at = 0; at < bits.length; at += 2) {
      const bit = bits[at] * 256 + bits[at + 1];
      if (bit >= 2048) throw malformed('a bloom has 2048 bits');
      fields[BLOOM][bit >> 3] |= 128 >> (bit & 7);
    }
  }
  if (!fields[UNCLES].length) fields[UNCLES] = NO_UNCLES;
  return encode(fields);
}
