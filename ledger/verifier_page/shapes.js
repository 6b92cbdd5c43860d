// The small words the schemas are written in; the same as ledger/shapes.py. A check takes a value and refuses it or not.
import { Refused, unbase64url, unhex, hex } from './bytes.js';

const malformed = (what) => new Refused('document.malformed', what);
const isObject = (value) => value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;

export const pattern = (form) => (value) => {
  if (typeof value !== 'string' || !form.test(value)) throw malformed('a field is not of its form');
};

export const text = (least = 1, most = 4000) => (value) => {
  const letters = typeof value === 'string' ? [...value] : null;
  if (!letters || letters.length < least || letters.length > most) throw malformed('a text is too short or too long');
  if (letters.some((one) => one < ' ' && one !== '\n' && one !== '\t')) throw malformed('a text has control characters');
};

export const integer = (least = 0, most = Number.MAX_SAFE_INTEGER) => (value) => {
  if (!Number.isSafeInteger(value) || value < least || value > most) throw malformed('a number is out of range');
};

export const boolean = (value) => {
  if (typeof value !== 'boolean') throw malformed('neither true nor false');
};

export const literal = (...allowed) => (value) => {
  if (!allowed.includes(value)) throw malformed('a value is none of those allowed');
};

export const nullable = (inner) => (value) => {
  if (value !== null) inner(value);
};

export const fields = (shape, { rules = [], may = {} } = {}) => (value) => {
  if (!isObject(value)) throw malformed('not an object');
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(shape, name) && !Object.hasOwn(may, name)) throw malformed('an unknown field');
  }
  for (const [name, inner] of Object.entries(shape)) {
    if (!(name in value)) throw malformed('a field is missing');
    inner(value[name]);
  }
  for (const [name, inner] of Object.entries(may)) if (name in value) inner(value[name]);
  for (const rule of rules) rule(value);
};

export const items = (inner, least = 0, most = 64, { by = null, unique = false } = {}) => (value) => {
  if (!Array.isArray(value) || value.length < least || value.length > most) throw malformed('a list is too long or short');
  value.forEach((one) => inner(one));
  if (by && value.some((one, at) => at && value[at - 1][by] >= one[by])) throw malformed('a list is not sorted');
  if (unique && new Set(value).size !== value.length) throw malformed('a list names one twice');
};

export function plainJson(value) {
  if (isObject(value)) Object.values(value).forEach(plainJson);
  else if (Array.isArray(value)) value.forEach(plainJson);
  else if (value !== null && !['string', 'boolean'].includes(typeof value) && !Number.isSafeInteger(value)) {
    throw malformed('not text, a whole number, true, false or null');
  }
}

export const jsonObject = (value) => {
  if (!isObject(value)) throw malformed('not an object');
  plainJson(value);
};

export const when = (value) => {
  const good = typeof value === 'string' && /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/.test(value);
  const at = good ? Date.parse(value) : NaN;
  if (Number.isNaN(at) || value < '1000' || new Date(at).toISOString() !== value.replace('Z', '.000Z')) {
    throw malformed('not a UTC time like 2026-11-22T07:20:00Z');
  }
};

export const seconds = (value) => Date.parse(value) / 1000;

export const blob = (most) => (value) => {
  if (typeof value !== 'string') throw malformed('not base64url');
  if (unbase64url(value).length > most) throw malformed('too long');
};

export const hexadecimal = (size) => pattern(new RegExp(`^[0-9a-f]{${2 * size}}$`));
export const hex0x = (size) => pattern(new RegExp(`^0x[0-9a-f]{${2 * size}}$`));

const SMALL_ORDER = new Set([
  '00'.repeat(32), '01' + '00'.repeat(31), 'ec' + 'ff'.repeat(30) + '7f', 'ed' + 'ff'.repeat(30) + '7f',
  'ee' + 'ff'.repeat(30) + '7f', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a']);

/** An Ed25519 public key that binds its owner: under one of small order anybody signs. */
export const signingKey = (value) => {
  hexadecimal(32)(value);
  const raw = unhex(value);
  raw[31] &= 0x7f;
  if (SMALL_ORDER.has(hex(raw))) throw malformed('a key of small order');
};

export const uuid = pattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
export const address = hex0x(20);
export const digest = hexadecimal(32);
export const salt = hexadecimal(32);
export const signature0x = pattern(/^0x([0-9a-f]{2}){65,4000}$/);
export const word = pattern(/^[a-z][a-z0-9_]{0,39}$/);
export const eventKind = pattern(/^[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,39}){1,3}$/);
export const label = text(1, 200);

export const earlier = (first, second) => (value) => {
  if (seconds(value[first]) >= seconds(value[second])) throw malformed('two times are in the wrong order');
};

/** A header and the proofs under it come together or not at all. */
export const proofRule = (leg) => {
  const there = [leg.header !== null, leg.account_proof.length > 0, leg.storage_proof.length > 0];
  if (new Set(there).size !== 1) throw malformed('a header without its proofs, or proofs without their header');
};

/** The same of a receipt's file. */
export const packedProofRule = (leg) => {
  if (new Set([leg.header, leg.account, leg.storage].map((one) => one === null)).size !== 1) {
    throw malformed('a header without its proofs, or proofs without their header');
  }
};
