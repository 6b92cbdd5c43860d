// How a receipt is written down: every value once, bytes in base64url, what follows from the rest left out. As
// ledger/packing.py: unpack and pack undo each other and judge nothing; a file that pack would not make is refused.
import { Refused, base64url, concat, hex, keccak, same, sha256, unbase64url, unhex, utf8 } from './bytes.js';
import { decode, encode, lengthen, longHeader, rootSlot, shortHeader, shorten } from './chainproof.js';
import { canonical } from './json.js';
import { inclusionRanges, parseNote, rootFromPath } from './log.js';
import { grantsNamed, receipt as form, whole } from './schemas.js';

const ROLES = ['custodian', 'regulator'];
const HEX = ['scenario_hash', 'dataset_hash', 'salt'];
const HEX_0X = ['dataset_chain_id', 'purpose_hash', 'custodian_approver', 'grantee_address', 'decider', 'nonce', 'service',
  'signature'];
const IDS = ['scenario', 'dealer', 'grantee'];
// fields of bytes and their lengths (0: the rest); those that the grants do not say alike stand in each grant's `own`
const OWN = {
  terms: {
    custodian_approver: 20, dataset_chain_id: 32, dataset_hash: 32, dealer: 16, grantee: 16, grantee_address: 20,
    purpose_hash: 32, salt: 32, scenario: 16, scenario_hash: 32,
  },
  custodian: { nonce: 32, service: 20, signature: 0 },
  regulator: { decider: 20, nonce: 32, signature: 0 },
};
const LEFT_OUT = ['type', 'version', 'id', 'space_id', 'dataset', 'custodian'];

const malformed = (what) => new Refused('document.malformed', what);
const object = (entries) => Object.assign(Object.create(null), Object.fromEntries(entries));
const merged = (...parts) => object(parts.flatMap((one) => Object.entries(one)));
const uuid = (raw) => hex(raw).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
const unuuid = (text) => unhex(text.replaceAll('-', ''));
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/** The receipt in full that a file says. */
export function unpack(file) {
  form(file);
  const { space_id, entry, index, checkpoint } = file;
  const receipt = object(Object.entries({ space_id, entry, index, checkpoint, inclusion: parted(file.inclusion) }));
  receipt.approvals = unpackApprovals(file);
  receipt.chain = file.chain === null ? null : unpackLeg(file.chain, receipt);
  whole(receipt);
  if (!same(canonical(pack(receipt)), canonical(file))) throw new Refused('receipt.not_canonical', 'another spelling');
  return receipt;
}

function pack(receipt) {
  const { space_id, entry, index, checkpoint } = receipt;
  return object(Object.entries({
    type: 'receipt', version: 1, space_id, entry, index, checkpoint, inclusion: joined(receipt.inclusion),
    approvals: packApprovals(receipt), chain: packLeg(receipt),
  }));
}

const joined = (hashes) => base64url(concat(...hashes.map(unhex)));

function parted(blob) {
  const raw = unbase64url(blob);
  if (raw.length % 32) throw malformed('not made of hashes');
  return pieces(raw, 32).map(hex);
}

function pieces(raw, size) {
  return Array.from({ length: Math.ceil(raw.length / size) }, (_, at) => raw.slice(size * at, size * at + size));
}

/** The grants that an entry names, by their ids. */
export function grantsOf(entry) {
  const named = entry.body.grants ?? null;
  if (named === null) return new Map();
  grantsNamed(named);
  return new Map(named.map((one) => [one.id, one.terms_hash]));
}

// --- approvals

function short(name, value) {
  if (HEX.includes(name) || HEX_0X.includes(name)) return base64url(unhex(value));
  if (IDS.includes(name)) return base64url(unuuid(value));
  if (name === 'functions') return value.map((one) => merged(one, { digest: base64url(unhex(one.digest)) }));
  if (name === 'roster') return base64url(concat(...value.flatMap((one) => [unuuid(one.dataset), unuuid(one.provider)])));
  return value;
}

function long(name, value) {
  if (name === 'functions' && Array.isArray(value)) {
    return value.map((one) => (isObject(one) ? merged(one, { digest: long('salt', one.digest) }) : one));
  }
  if (![...HEX, ...HEX_0X, ...IDS, 'functions', 'roster'].includes(name)) return value;
  if (typeof value !== 'string') throw malformed('not base64url');
  const raw = unbase64url(value);
  if (HEX.includes(name)) return hex(raw);
  if (HEX_0X.includes(name)) return '0x' + hex(raw);
  const ids = pieces(raw, 16).map(uuid);
  if (IDS.includes(name)) return ids.join();
  if (ids.length % 2) throw malformed('not made of ids');
  return ids.flatMap((one, at) => (at % 2 ? [] : [object([['dataset', one], ['provider', ids[at + 1]]])]));
}

const each = (step, value) => object(Object.entries(value).map(([name, one]) => [name, step(name, one)]));

function own(part, said) {
  const found = Object.entries(said).filter(([name]) => !Object.hasOwn(OWN[part], name));
  const bytes = concat(...Object.keys(OWN[part]).filter((name) => name in said).map((name) => unbase64url(said[name])));
  return object(bytes.length ? [...found, ['own', base64url(bytes)]] : found);
}

function wholeOf(part, alike, said) {
  const { own: mine = '', ...others } = said;
  if (typeof mine !== 'string') throw malformed('not base64url');
  const found = merged(alike, others);
  let raw = unbase64url(mine);
  for (const [name, size] of Object.entries(OWN[part])) {
    if (!(name in alike)) {
      found[name] = base64url(size ? raw.slice(0, size) : raw);
      raw = raw.slice(size || raw.length);
    }
  }
  if (raw.length) throw malformed("bytes behind a grant's own");
  return each(long, found);
}

function packApprovals({ approvals, entry }) {
  if (!approvals.length) return null;
  const held = new Map(approvals.map((one) => [one.terms.id, one]));
  const grants = [...grantsOf(entry).keys()].map((id) => (held.has(id) ? packGrant(held.get(id)) : null));
  const alike = {};
  for (const part of ['terms', ...ROLES]) {
    const said = grants.filter((one) => one && one[part] !== null).map((one) => one[part]);
    const isAlike = ([name, value]) => said.every((one) => name in one && same(canonical(one[name]), canonical(value)));
    alike[part] = object(said.length ? Object.entries(said[0]).filter(isAlike) : []);
    for (const one of grants.filter((grant) => grant && grant[part] !== null)) {
      one[part] = own(part, object(Object.entries(one[part]).filter(([name]) => !(name in alike[part]))));
    }
  }
  return merged(alike, { grants });
}

function packGrant({ terms, signatures }) {
  const found = { terms: each(short, object(Object.entries(terms).filter(([name]) => !LEFT_OUT.includes(name)))) };
  found.terms.seat = terms.roster.findIndex((one) => one.dataset === terms.dataset && one.provider === terms.custodian);
  for (const role of ROLES) {
    const one = signatures.find((by) => by.role === role);
    const names = ['nonce', 'sign_by', 'signature', role === 'custodian' ? 'service' : 'decider'];
    found[role] = one ? object(names.map((name) => [name, short(name, one[name])])) : null;
  }
  return object(Object.entries(found));
}

function unpackApprovals({ approvals, entry, space_id }) {
  if (approvals === null) return [];
  const named = [...grantsOf(entry).keys()];
  if (named.length !== approvals.grants.length) throw malformed('not as many grants as the entry names');
  return approvals.grants.flatMap((one, at) => {
    if (one === null) return [];
    const { seat, ...said } = wholeOf('terms', approvals.terms, one.terms);
    const { roster } = said;
    if (!Number.isInteger(seat) || !Array.isArray(roster) || seat < 0 || seat >= roster.length) throw malformed('no seat');
    const terms = merged(said, {
      type: 'grant_terms', version: 1, id: named[at], space_id, dataset: roster[seat].dataset,
      custodian: roster[seat].provider,
    });
    const signatures = ROLES.filter((role) => one[role] !== null).map((role) => merged(
      { role }, wholeOf(role, approvals[role], one[role]),
      role === 'regulator' ? { service: null } : { decider: terms.custodian_approver ?? null }));
    return [object([['terms', terms], ['signatures', signatures]])];
  });
}

// --- the chain leg

/** The leaf's path in the tree of `size` leaves, null where `inclusion` does not say it. */
function pathOf(receipt, size) {
  const known = new Map();
  inclusionRanges(receipt.index, parseNote(receipt.checkpoint).size).forEach((one, at) => {
    if (at < receipt.inclusion.length) known.set(one.join(), receipt.inclusion[at]);
  });
  return inclusionRanges(receipt.index, BigInt(size)).map((one) => known.get(one.join()) ?? null);
}

/** The storage slot of the anchored root, and its value as the trie holds it. */
function footOf(receipt, leg) {
  const leaf = sha256(canonical(receipt.entry));
  const root = rootFromPath(leaf, receipt.index, BigInt(leg.size), leg.inclusion.map(unhex));
  return [rootSlot(leg.log_id, leg.size), encode(root.slice(root.findIndex((one) => one !== 0)))];
}

function packLeg(receipt) {
  const leg = receipt.chain;
  if (leg === null) return null;
  const path = pathOf(receipt, leg.size);
  const { chain_id, profile, size } = leg;
  const found = {
    chain_id, profile, size, inclusion: joined(leg.inclusion.filter((_, at) => path[at] === null)),
    contract: short('service', leg.contract), header: null, account: null, storage: null,
  };
  if (leg.header !== null) {
    const [storage] = shorten(footOf(receipt, leg)[0], leg.storage_proof.map(unbase64url));
    const [nodes, account] = shorten(unhex(leg.contract), leg.account_proof.map(unbase64url));
    const [nonce, balance, , code] = decode(account);
    found.header = base64url(shortHeader(unbase64url(leg.header)));
    found.storage = base64url(encode(storage));
    found.account = base64url(encode([nonce, balance, code, nodes]));
  }
  return object(Object.entries(found));
}

function unpackLeg(packed, receipt) {
  const path = pathOf(receipt, packed.size);
  const more = parted(packed.inclusion);
  if (more.length !== path.filter((one) => one === null).length) throw malformed('not what the other path leaves open');
  const { chain_id, profile, size } = packed;
  const leg = {
    chain_id, profile, contract: long('service', packed.contract),
    log_id: '0x' + hex(sha256(utf8(parseNote(receipt.checkpoint).origin))), size,
    inclusion: path.map((one) => one ?? more.shift()), header: null, account_proof: [], storage_proof: [],
  };
  if (packed.header !== null) {
    const storage = lengthen(...footOf(receipt, leg).toSpliced(1, 0, decode(unbase64url(packed.storage))));
    const account = decode(unbase64url(packed.account));
    if (!Array.isArray(account) || account.length !== 4 || account.slice(0, 3).some(Array.isArray)) {
      throw malformed('not an account and its proof');
    }
    const [nonce, balance, code, nodes] = account;
    const held = encode([nonce, balance, keccak(storage[0]), code]);
    leg.header = base64url(longHeader(unbase64url(packed.header)));
    leg.storage_proof = storage.map(base64url);
    leg.account_proof = lengthen(unhex(leg.contract), nodes, held).map(base64url);
  }
  return object(Object.entries(leg));
}
