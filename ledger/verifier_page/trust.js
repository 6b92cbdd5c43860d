// The trust file: every root that a check relies on, signed by the regulator's root key. As ledger/trust.py.
import { Refused, concat, hex, sha256, unbase64url, unhex, utf8 } from './bytes.js';
import { canonical, parse } from './json.js';
import { ed25519Holds } from './log.js';
import { signed, trust as form } from './schemas.js';

/** The document in a trust file, if the root key of this fingerprint has signed it. */
export function loadTrust(data, fingerprint) {
  const wire = parse(data);
  signed(wire);
  form(wire.document);
  const { document } = wire;
  if (hex(sha256(unhex(document.root))) !== fingerprint.trim().toLowerCase()) {
    throw new Refused('trust.fingerprint', 'the trust file is of another root key than the fingerprint says');
  }
  const mine = wire.signatures.filter((one) => one.key === document.root);
  if (mine.length !== 1) throw new Refused('signature.missing', 'not signed by the root key, or twice');
  const message = concat(utf8('xinglin/trust/v1\n'), canonical(document));
  if (!ed25519Holds(document.root, unbase64url(mine[0].value), message)) {
    throw new Refused('signature.invalid', "the root key's signature is wrong");
  }
  if (document.log.origin !== `xinglin/${document.space_id}`) throw new Refused('trust.origin', 'another log');
  if (document.chain.quorum > document.chain.rpc.length) throw new Refused('trust.quorum', 'the quorum is too large');
  const { k, keys } = document.witnesses;
  if (k > keys.length || (k && 2 * k <= keys.length)) throw new Refused('trust.witnesses', 'k is too large, or too small');
  if (document.regulator.passkeys.some((one) => !document.regulator.approvers.includes(one.address))) {
    throw new Refused('trust.passkeys', 'keys are named of an account that is no approver');
  }
  return document;
}
