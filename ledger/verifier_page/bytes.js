// Bytes in their spellings, each with one only. Whatever is not that spelling is refused.
import { keccak_256 } from '@noble/hashes/sha3.js';
import { sha256 as sha } from '@noble/hashes/sha2.js';

/** What was shown is wrong; `code` is stable, the text is for people. */
export class Refused extends Error {
  constructor(code, message, values = {}) {
    super(message);
    this.code = code;
    this.values = values;
  }
}

export const keccak = (data) => keccak_256(data);
export const sha256 = (data) => sha(data);
export const utf8 = (text) => new TextEncoder().encode(text);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of parts) {
    whole.set(one, at);
    at += one.length;
  }
  return whole;
}

export function same(a, b) {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

export const hex = (data) => Array.from(data, (one) => one.toString(16).padStart(2, '0')).join('');

export function unhex(text) {
  const bare = text.startsWith('0x') ? text.slice(2) : text;
  if (!/^([0-9a-f]{2})*$/.test(bare)) throw new Refused('hex', 'not hexadecimal');
  return Uint8Array.from(bare.match(/../g) || [], (pair) => parseInt(pair, 16));
}

export const base64 = (data) => btoa(Array.from(data, (one) => String.fromCharCode(one)).join(''));

/** Standard base64 with padding, in its one spelling. */
export function unbase64(text) {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4) throw new Refused('document.malformed', 'not base64');
  const data = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  if (base64(data) !== text) throw new Refused('document.malformed', 'base64 not in its one spelling');
  return data;
}

/** base64url without padding, in its one spelling. */
export function unbase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) throw new Refused('document.malformed', 'not base64url');
  return unbase64(text.replaceAll('-', '+').replaceAll('_', '/') + '='.repeat((4 - (text.length % 4)) % 4));
}

export const base64url = (data) => base64(data).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

/** 32 bytes, the number at their end. */
export function word(value) {
  return unhex(BigInt(value).toString(16).padStart(64, '0'));
}

export function number(data) {
  return data.length ? BigInt('0x' + hex(data)) : 0n;
}

/** The bytes of a number without leading zeros. */
export function numberBytes(value) {
  const text = BigInt(value).toString(16);
  return value === 0n ? new Uint8Array() : unhex(text.padStart(text.length + (text.length % 2), '0'));
}
