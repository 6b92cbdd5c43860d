// Judges a receipt, level by level; the same as ledger/receipt.py, without its questions to a chain. A level that was not
// checked is never called valid. A reason is [code, values]; words.js puts it into words.
import { Refused, hex, same, sha256, unbase64url, unhex, utf8 } from './bytes.js';
import { documentHash, isPasskey, verifyApproval } from './approval.js';
import { blockHash, checkSeals, proveAccount, proveSlot, readHeader, rootSlot, unsealed } from './chainproof.js';
import { canonical, parse } from './json.js';
import { anchorSeen, cosigned, parseNote, rootFromPath, verifyCheckpoint, verifyInclusion } from './log.js';
import { grantsOf, unpack } from './packing.js';
import { receipt as form } from './schemas.js';
import { seconds } from './shapes.js';

export const LEVELS = ['inclusion', 'log_signature', 'witnesses', 'approvals', 'chain_proof', 'chain_header'];
const [VALID, INVALID, NOT_CHECKED] = ['valid', 'invalid', 'not checked'];
const USES = ['grant.used', 'job.accepted', 'job.started', 'job.released'];
const GIVEN = ['grant.approved', 'grant.consented'];

const refuse = (code, values) => {
  throw new Refused(code, code, values);
};

/** {levels: {name: {level, reason}}, receipt, required, holds}; raises Refused for a file that is no receipt of this space. */
export function verifyReceipt(data, trust) {
  const file = parse(data);
  form(file);
  if (!same(canonical(file), data)) refuse('receipt.not_canonical');
  const receipt = unpack(file);
  if (receipt.space_id !== trust.space_id) refuse('receipt.other_space');
  const judged = { receipt, trust, claimed: parseNote(receipt.checkpoint) };
  const judges = [inclusion, logSignature, witnesses, approvals, chainProof, chainHeader];
  const levels = Object.fromEntries(LEVELS.map((name, at) => [name, judge(judges[at], judged)]));
  const required = ['inclusion', 'log_signature', ...(trust.witnesses.k ? ['witnesses'] : [])];
  const found = Object.values(levels).map((one) => one.level);
  const holds = !found.includes(INVALID) && required.every((name) => levels[name].level === VALID);
  return { levels, receipt, required, holds };
}

function judge(one, judged) {
  try {
    const [level, reason = null] = one(judged);
    return { level, reason };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { level: INVALID, reason: [error.code, error.values] };
  }
}

function inclusion({ receipt, claimed }) {
  const commitment = sha256(canonical(receipt.entry));
  verifyInclusion(commitment, receipt.index, claimed.size, receipt.inclusion.map(unhex), claimed.root);
  return [VALID, ['inclusion.path', { index: receipt.index, steps: receipt.inclusion.length, size: claimed.size }]];
}

function logSignature({ receipt, trust }) {
  verifyCheckpoint(receipt.checkpoint, trust.log);
  return [VALID, ['log.signed', { origin: trust.log.origin }]];
}

function witnesses({ receipt, trust }) {
  return cosignedBy(parseNote(receipt.checkpoint), trust);
}

function cosignedBy(note, trust) {
  const { k, keys } = trust.witnesses;
  const found = cosigned(note, keys);
  if (note.signatures.length !== 1 + found) refuse('witnesses.stranger');
  if (k === 0) return [NOT_CHECKED, ['witnesses.none']];
  return [found >= k ? VALID : INVALID, ['witnesses.count', { found, of: keys.length, k }]];
}

function approvals({ receipt, trust }) {
  const { entry } = receipt;
  const named = grantsOf(entry);
  const terms = receipt.approvals.map((one) => one.terms);
  if (new Set(terms.map((one) => one.id)).size !== terms.length
    || terms.some((one) => named.get(one.id) !== documentHash(one))) refuse('approvals.not_named');
  const passkeys = new Map(trust.regulator.passkeys.map((one) => [one.address, one.keys]));
  let [count, unknown] = [0, null];
  for (const one of receipt.approvals) {
    for (const approval of one.signatures) {
      unknown = checkDecider(one.terms, approval, trust, passkeys) || unknown;
      checkTime(entry, one.terms, approval);
      count += 1;
    }
  }
  const missing = 2 * named.size - count;
  if (entry.kind.startsWith('job.')) {
    if (!named.size) refuse('approvals.no_grants_of_job');
    if (missing) refuse('approvals.missing', { missing });
    checkRoster(terms);
  }
  if (!named.size) return [NOT_CHECKED, ['approvals.no_grants']];
  if (missing) return [NOT_CHECKED, ['approvals.missing', { missing }]];
  return unknown ? [NOT_CHECKED, unknown] : [VALID, ['approvals.signed', { grants: named.size, signatures: count }]];
}

function checkDecider(terms, approval, trust, passkeys) {
  if (terms.space_id !== trust.space_id || terms.dealer !== trust.dealer.participant) refuse('approvals.other_space');
  if (terms.not_before < '1970-01-01T00:00:00Z') refuse('approvals.period');
  const isRegulator = trust.regulator.approvers.includes(approval.decider);
  if (approval.role === 'regulator' && !isRegulator) refuse('approvals.stranger');
  if (approval.role === 'custodian' && isRegulator) refuse('approvals.regulator_as_custodian');
  if ((approval.role === 'custodian') !== (approval.service !== null)) refuse('approval.service');
  if (approval.role === 'custodian' && approval.decider !== terms.custodian_approver) refuse('approval.wrong_custodian');
  if (approval.role === 'custodian' && isPasskey(approval)) return ['approvals.custodian_passkey'];
  verifyApproval(trust, terms, approval, passkeys.get(approval.decider));
  return null;
}

function checkTime(entry, terms, approval) {
  if (USES.includes(entry.kind) && (entry.at < terms.not_before || entry.at > terms.not_after)) refuse('approvals.period');
  if (GIVEN.includes(entry.kind) && seconds(entry.at) > approval.sign_by) refuse('approvals.lapsed');
}

function checkRoster(terms) {
  const held = terms.map((one) => `${one.dataset} ${one.custodian}`).sort().join();
  const roster = (one) => one.roster.map((seat) => `${seat.dataset} ${seat.provider}`).join();
  if (terms.some((one) => roster(one) !== held)) refuse('approvals.roster');
  if (new Set(terms.map((one) => `${one.scenario_hash} ${one.grantee}`)).size !== 1) refuse('approvals.roster');
}

function legOf({ receipt, trust }) {
  const leg = receipt.chain;
  if (leg === null) return [null, null];
  const logId = '0x' + hex(sha256(utf8(trust.log.origin)));
  if (leg.chain_id !== trust.chain.id || leg.profile !== trust.chain.profile || leg.log_id !== logId
    || leg.contract !== trust.chain.contracts.anchor.address) refuse('chain.other');
  return [leg, leg.header === null ? null : readHeader(unbase64url(leg.header))];
}

/** The root that the entry leads to in the anchored log, which is no larger than the checkpoint's. */
function anchoredRoot({ receipt, claimed }, leg) {
  if (BigInt(leg.size) > claimed.size) refuse('chain.larger');
  const commitment = sha256(canonical(receipt.entry));
  return rootFromPath(commitment, receipt.index, BigInt(leg.size), leg.inclusion.map(unhex));
}

function chainProof(judged) {
  const [leg, header] = legOf(judged);
  if (leg === null) return [NOT_CHECKED, ['chain.none']];
  const wanted = anchoredRoot(judged, leg);
  if (header === null) return [NOT_CHECKED, ['chain.no_proof']];
  const { anchor } = judged.trust.chain.contracts;
  const account = proveAccount(header.stateRoot, anchor.address, leg.account_proof.map(unbase64url));
  if ('0x' + hex(account.codeHash) !== anchor.code_hash) refuse('chain.code');
  const root = proveSlot(account.storageRoot, rootSlot(leg.log_id, leg.size), leg.storage_proof.map(unbase64url));
  if (!same(root, wanted)) refuse('chain.other_root');
  return [VALID, ['chain.state', { size: leg.size, block: header.number }]];
}

function chainHeader(judged) {
  const [leg, header] = legOf(judged);
  if (leg === null) return [NOT_CHECKED, ['chain.none']];
  if (header === null) return [NOT_CHECKED, ['chain.no_header']];
  const name = blockHash(header, judged.trust.chain.profile);
  const said = [byNote(judged, header, name), bySeals(judged, header)].filter((one) => one !== null);
  return said.find((one) => one[0] === VALID) || said[0];
}

function byNote({ receipt, trust }, header, name) {
  const note = verifyCheckpoint(receipt.checkpoint, trust.log);
  const seen = anchorSeen(note);
  if (seen === null || seen.size < BigInt(receipt.chain.size)) return [NOT_CHECKED, ['header.not_named']];
  if (seen.chainId !== BigInt(trust.chain.id) || seen.block !== header.number || seen.hash !== name) {
    refuse('header.other_block');
  }
  const [level, reason] = cosignedBy(note, trust);
  if (level === INVALID) refuse(...reason);
  return level === VALID ? [VALID, reason] : [NOT_CHECKED, ['header.log_alone']];
}

function bySeals({ trust }, header) {
  if (trust.chain.profile !== 'qbft') return null;
  const validators = trust.chain.validators ?? [];
  if (!validators.length) {
    if (!same(unsealed(header), header.raw)) refuse('header.seals_unasked');
    return [NOT_CHECKED, ['header.no_validators']];
  }
  return [VALID, ['header.sealed', { found: checkSeals(header, validators), of: validators.length }]];
}
