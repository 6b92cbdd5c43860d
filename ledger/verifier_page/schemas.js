// The documents a receipt is made of, and the trust file, field by field; the same as ledger/schemas.py.
import {
  address, blob, boolean, digest, earlier, eventKind, fields, hex0x, hexadecimal, integer, items, jsonObject, label,
  literal, nullable, packedProofRule, proofRule, salt, signature0x, signingKey, text, uuid, when, word,
} from './shapes.js';

const document = (kind, shape, rules) => fields({ type: literal(kind), version: literal(1), ...shape }, rules);
const contract = fields({ address, code_hash: hex0x(32) });
const passkey = fields({ x: hexadecimal(32), y: hexadecimal(32), rp_id: label, origin: label, device_bound: boolean });

export const signed = fields({
  document: () => {},
  signatures: items(fields({ key: signingKey, value: text(86, 86) }), 0, 8),
});

export const trust = document('trust', {
  serial: integer(1), space_id: uuid, name: text(1, 200), root: signingKey, issued_at: when,
  chain: fields({
    id: integer(1), profile: word, genesis: hex0x(32), rpc: items(text(1, 500), 1, 16, { unique: true }),
    quorum: integer(1, 16),
    contracts: fields({ anchor: contract, grants: contract, participants: contract }),
  }, { may: { validators: items(address, 1, 64, { unique: true }) } }),
  log: fields({ origin: text(1, 200), key: signingKey }),
  witnesses: fields({ k: integer(0, 32), keys: items(signingKey, 0, 32, { unique: true }) }),
  regulator: fields({
    participant: uuid, signing: signingKey, sealing: hexadecimal(32), approvers: items(address, 1, 32, { unique: true }),
    passkeys: items(fields({ address, keys: items(passkey, 1, 8) }), 0, 32, { by: 'address' }),
  }),
  dealer: fields({ participant: uuid, signing: signingKey }),
  release: fields({ keys: items(signingKey, 0, 16, { unique: true }) }),
});

export const entry = document('entry', {
  id: uuid, kind: eventKind, subject: fields({ kind: word, id: text(1, 100) }),
  actor: fields({ participant: nullable(uuid), person: nullable(text(1, 100)) }), at: when, body: jsonObject, salt,
});

export const grantsNamed = items(fields({ id: uuid, terms_hash: digest }), 1, 64, { by: 'id' });

const terms = document('grant_terms', {
  id: uuid, space_id: uuid, scenario: uuid, scenario_hash: digest, dataset: uuid, dataset_hash: digest,
  dataset_chain_id: hex0x(32), custodian: uuid, custodian_approver: address,
  roster: items(fields({ dataset: uuid, provider: uuid }), 1, 63, { by: 'dataset' }), dealer: uuid, grantee: uuid,
  grantee_address: address, purpose_hash: hex0x(32),
  functions: items(fields({ name: word, version: integer(1, 10 ** 6), digest }), 1, 32, { by: 'name' }),
  floor: integer(1, 10 ** 9), by_institution: boolean, max_uses: integer(1, 2 ** 32 - 1), not_before: when,
  not_after: when, salt,
}, { rules: [earlier('not_before', 'not_after')], may: { filter_columns: items(label, 1, 1000, { unique: true }) } });

// a receipt in full
const nodes = items(blob(1000), 0, 64);
const leg = fields({
  chain_id: integer(1), profile: word, contract: address, log_id: hex0x(32), size: integer(1),
  inclusion: items(digest, 0, 64), header: nullable(blob(8000)), account_proof: nodes, storage_proof: nodes,
}, { rules: [proofRule] });
const given = fields({
  role: literal('regulator', 'custodian'), decider: address, nonce: hex0x(32), sign_by: integer(1, 2 ** 48 - 1),
  service: nullable(address), signature: signature0x,
});
export const whole = fields({
  space_id: uuid, entry, index: integer(), inclusion: items(digest, 0, 64), checkpoint: text(1, 8000),
  chain: nullable(leg), approvals: items(fields({ terms, signatures: items(given, 1, 2, { by: 'role' }) }), 0, 64),
});

// the same as it is written down (packing.js)
const packedLeg = fields({
  chain_id: integer(1), profile: word, contract: blob(20), size: integer(1), inclusion: blob(2048),
  header: nullable(blob(8000)), account: nullable(blob(65000)), storage: nullable(blob(65000)),
}, { rules: [packedProofRule] });
const packedGrant = fields({ terms: jsonObject, custodian: nullable(jsonObject), regulator: nullable(jsonObject) });
export const receipt = document('receipt', {
  space_id: uuid, entry, index: integer(), inclusion: blob(2048), checkpoint: text(1, 8000),
  approvals: nullable(fields({
    terms: jsonObject, custodian: jsonObject, regulator: jsonObject, grants: items(nullable(packedGrant), 1, 64),
  })),
  chain: nullable(packedLeg),
});
