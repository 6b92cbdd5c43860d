// JSON without the traps, and RFC 8785: a name given twice, deep nesting and anything else that readers resolve each in
// their own way is refused. A number that is not a whole one below 2^53 becomes a Fraction, which no document may hold.
import { Refused, utf8 } from './bytes.js';

const DEPTH = 64;
const TOKEN = /[ \t\n\r]*(?:([{}[\]:,])|"((?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(true|false|null))/y;
const REST = /[ \t\n\r]*$/y;
const LITERALS = { true: true, false: false, null: null };

export class Fraction {}

const malformed = () => new Refused('document.malformed', 'this is not JSON as documents are written');

export function parse(data) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw malformed();
  }
  const reader = new Reader(text);
  const value = reader.value(1);
  REST.lastIndex = reader.at;
  if (!REST.test(text)) throw malformed();
  return value;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  next() {
    TOKEN.lastIndex = this.at;
    const found = TOKEN.exec(this.text);
    if (!found) throw malformed();
    this.at = TOKEN.lastIndex;
    return found;
  }

  peek() {
    const before = this.at;
    const found = this.next();
    this.at = before;
    return found;
  }

  value(depth) {
    const [whole, mark, , numeral, literal] = this.next();
    if (mark === '{') return this.object(depth);
    if (mark === '[') return this.array(depth);
    if (mark) throw malformed();
    if (numeral !== undefined) return whole_number(numeral);
    if (literal) return LITERALS[literal];
    return JSON.parse(whole);
  }

  array(depth) {
    if (depth > DEPTH) throw malformed();
    const found = [];
    if (this.peek()[1] === ']') {
      this.next();
      return found;
    }
    for (;;) {
      found.push(this.value(depth + 1));
      const [, mark] = this.next();
      if (mark === ']') return found;
      if (mark !== ',') throw malformed();
    }
  }

  object(depth) {
    if (depth > DEPTH) throw malformed();
    const found = new Map();
    if (this.peek()[1] === '}') {
      this.next();
      return Object.create(null);
    }
    for (;;) {
      const [whole, mark, , numeral, literal] = this.next();
      if (mark || numeral !== undefined || literal) throw malformed();
      const name = JSON.parse(whole);
      if (this.next()[1] !== ':' || found.has(name)) throw malformed();
      found.set(name, this.value(depth + 1));
      const [, end] = this.next();
      if (end === '}') return Object.assign(Object.create(null), Object.fromEntries(found));
      if (end !== ',') throw malformed();
    }
  }
}

function whole_number(numeral) {
  const value = Number(numeral);
  if (!/^-?[0-9]+$/.test(numeral) || !Number.isSafeInteger(value)) return new Fraction();
  return value === 0 ? 0 : value;
}

/** The one spelling of a value, as bytes. */
export function canonical(value) {
  return utf8(spelled(value));
}

function spelled(value) {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw malformed();
    return JSON.stringify(value);
  }
  if (value instanceof Fraction) throw malformed();
  if (Array.isArray(value)) return '[' + value.map(spelled).join(',') + ']';
  const names = Object.keys(value).sort();
  return '{' + names.map((name) => spelled(name) + ':' + spelled(value[name])).join(',') + '}';
}
