// The digest that regulator and custodian sign (EIP-712), and the two schemes of signing it. As ledger/{approval,passkey}.py.
import { p256 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import {
  Refused, base64url, concat, hex, keccak, number, same, sha256, unhex, utf8, word,
} from './bytes.js';
import { addressOf, recover } from './chainproof.js';
import { canonical, parse } from './json.js';
import { seconds } from './shapes.js';

const DOMAIN = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)';
const COMMON = 'bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,'
  + 'uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy';
const APPROVAL = `Approval(${COMMON},address custodian)`;
const CONSENT = `Consent(${COMMON},address service)`;
const LONGEST = 4096;
const ORIGIN = /^(?:https:\/\/([a-z0-9.-]+)|http:\/\/(localhost))(?::[1-9][0-9]{0,4})?$/;
const BEHIND = /^(?:\}|,"crossOrigin":false(?:\}|,[^]*\}))$/;

const wrong = (code, message) => new Refused(code, message);

export const documentHash = (document) => hex(sha256(canonical(document)));

function grantChainId(terms) {
  return sha256(concat(utf8('xinglin/id\n'), unhex(terms.id.replaceAll('-', '')), unhex(terms.salt)));
}

function separator(trust) {
  const salt = sha256(utf8(trust.space_id));
  return keccak(concat(keccak(utf8(DOMAIN)), keccak(utf8('Xinglin GrantRegistry')), keccak(utf8('1')),
    word(trust.chain.id), word(trust.chain.contracts.grants.address), salt));
}

export function termsDigest(trust, terms, approval) {
  const values = [hex(grantChainId(terms)), documentHash(terms), terms.dataset_chain_id, terms.purpose_hash,
    terms.grantee_address, approval.decider].map((one) => word(one.startsWith('0x') ? one : '0x' + one));
  values.push(word(seconds(terms.not_before)), word(seconds(terms.not_after)), word(terms.max_uses),
    word(approval.nonce), word(approval.sign_by));
  const isCustodian = approval.role === 'custodian';
  values.push(word(isCustodian ? approval.service : terms.custodian_approver));
  const struct = keccak(concat(keccak(utf8(isCustodian ? CONSENT : APPROVAL)), ...values));
  return keccak(concat(Uint8Array.of(0x19, 1), separator(trust), struct));
}

const SECP256K1_LENGTH = 65;
const rawOf = (approval) => unhex(approval.signature);

/** A signature of secp256k1 has 65 bytes, an assertion never. */
export const isPasskey = (approval) => rawOf(approval).length !== SECP256K1_LENGTH;

/** That the decider named in it made this approval over these terms. `keys`: those of its passkey account, or none. */
export function verifyApproval(trust, terms, approval, keys) {
  const value = termsDigest(trust, terms, approval);
  if (isPasskey(approval) !== (keys !== undefined)) throw wrong('approval.wrong_signer', 'another kind of key');
  if (keys !== undefined) {
    const assertion = decodeAssertion(rawOf(approval));
    const key = keys.find((one) => one.x + one.y === assertion.publicKey);
    if (!key) throw wrong('passkey.other_key', 'a key that this person does not have');
    checkAssertion(assertion, key, value);
    return;
  }
  const found = recover(value, rawOf(approval));
  let holds = addressOf(found) === approval.decider;
  try {
    const point = concat(Uint8Array.of(4), found);
    holds &&= secp256k1.verify(rawOf(approval).slice(0, 64), value, point, { prehash: false, lowS: true });
  } catch {
    holds = false;
  }
  if (!holds) throw wrong('approval.signature', "the signature is not the decider's");
}

// --- passkeys

function padded(data) {
  return concat(word(data.length), data, new Uint8Array((32 - (data.length % 32)) % 32));
}

function encodeAssertion(one) {
  const data = padded(one.authenticatorData);
  return concat(word(32), unhex(one.publicKey), one.signature, word(192), word(192 + data.length), data,
    padded(one.clientData));
}

function tail(blob, offset) {
  const start = 32n + offset;
  if (start + 32n > BigInt(blob.length)) throw wrong('passkey.form', 'not the encoding of an assertion');
  const length = number(blob.slice(Number(start), Number(start) + 32));
  const begin = Number(start) + 32;
  return blob.slice(begin, begin + (length > BigInt(blob.length) ? blob.length : Number(length)));
}

export function decodeAssertion(blob) {
  if (blob.length < 224) throw wrong('passkey.form', 'not the encoding of an assertion');
  const found = {
    publicKey: hex(blob.slice(32, 96)), signature: blob.slice(96, 160),
    authenticatorData: tail(blob, number(blob.slice(160, 192))), clientData: tail(blob, number(blob.slice(192, 224))),
  };
  if (!same(encodeAssertion(found), blob)) throw wrong('passkey.form', 'not the one spelling of an assertion');
  return found;
}

function hostOf(origin) {
  const found = ORIGIN.exec(origin);
  if (!found || origin.length > 128) throw wrong('passkey.origin', 'not an origin that a passkey may be used on');
  return found[1] || found[2];
}

export function checkAssertion(one, key, challenge) {
  if (hostOf(key.origin) !== key.rp_id) throw wrong('passkey.rp_id', "the RP id is not the origin's exact host");
  checkAuthenticatorData(one.authenticatorData, key);
  checkClientData(one.clientData, challenge, key.origin);
  const order = p256.Point.Fn.ORDER;
  const [r, s] = [number(one.signature.slice(0, 32)), number(one.signature.slice(32))];
  let holds = r > 0n && r < order && s > 0n && s <= order / 2n;
  try {
    const message = concat(one.authenticatorData, sha256(one.clientData));
    holds &&= p256.verify(one.signature, message, concat(Uint8Array.of(4), unhex(one.publicKey)), { lowS: true });
  } catch {
    holds = false;
  }
  if (!holds) throw wrong('passkey.signature', "the signature is not this key's, or not over this");
}

function checkAuthenticatorData(data, key) {
  if (data.length < 37 || data.length > LONGEST || !same(data.slice(0, 32), sha256(utf8(key.rp_id)))) {
    throw wrong('passkey.rp_id', 'the key was used for another host');
  }
  const flags = data[32];
  if ((flags & 5) !== 5) throw wrong('passkey.not_verified', 'the authenticator did not verify the person');
  if (flags & 0x10 && !(flags & 8)) throw wrong('passkey.flags', 'the authenticator says what cannot be');
  if (key.device_bound && flags & 8) throw wrong('passkey.not_device_bound', 'the key may be copied to other devices');
}

function checkClientData(data, challenge, origin) {
  const start = utf8(`{"type":"webauthn.get","challenge":"${base64url(challenge)}","origin":"${origin}"`);
  const behind = Array.from(data.slice(start.length), (byte) => String.fromCharCode(byte)).join('');
  if (data.length > LONGEST || !same(data.slice(0, start.length), start) || !BEHIND.test(behind)) {
    throw wrong('passkey.client_data', 'not signed over this, or not on this page');
  }
  parse(data); // well-formed to its end, no member twice
}
