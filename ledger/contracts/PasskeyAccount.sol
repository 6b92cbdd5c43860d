// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Passkey} from "./Passkey.sol";
import {SpaceDomain} from "./SpaceDomain.sol";

/// @notice One person who decides (a regulator's or a custodian's approver), with several passkeys. Other contracts see
///         ERC-1271 only: any one key of the account speaks for the person.
/// @dev Never upgradeable, holds nothing, calls nobody but (by ERC-1271, read only) its guardian. Anyone may relay; only
///      signatures count. Each key is bound to one origin, and by it to the RP id of that exact host.
///
///      One stolen key can sign, as any key can; it cannot evict the others, and it cannot dig in unseen:
///      - a new key is added, and another's key removed, only after `delay`, in which any enrolled key may veto; the
///        guardian may as well. The key that goes counts too: of two keys that want to remove each other, both stay.
///      - the guardian (m of n of other organisations; zero address: none) can propose the same with the same delay;
///        any key may veto, but a key whose own removal the guardian proposes may not. So a thief is removed, and a
///        guardian alone never gets into an account whose owner watches.
///      A key leaves at once only by its own signature. At least one key stays.
///      The first thing to do about a stolen key is elsewhere: take the account's role, or suspend the participant.
contract PasskeyAccount is SpaceDomain, IERC1271 {
    uint256 public constant MAX_KEYS = 8;
    uint48 public constant LONGEST_DELAY = 30 days;

    bytes32 private constant ENROL_TYPEHASH =
        keccak256("Enrol(bytes32 keyId,bytes32 originHash,uint64 number,bytes32 by)");
    bytes32 private constant REMOVE_TYPEHASH = keccak256("Remove(bytes32 keyId,uint64 number,bytes32 by)");
    bytes32 private constant VETO_TYPEHASH = keccak256("Veto(bool byGuardian,uint64 number,bytes32 by)");
    /// Who speaks in a message of the guardian's.
    bytes32 private constant GUARDIAN = bytes32(0);

    /// A key as it is shown when it is enrolled; nothing of it but its site is stored, x and y travel in each assertion.
    struct Key {
        bytes32 x;
        bytes32 y;
        string origin;
    }

    struct Site {
        bytes32 rpIdHash;
        string origin;
    }

    enum Kind {
        None,
        Enrol,
        Remove
    }

    struct Change {
        Kind kind;
        uint48 ripe;
        uint64 number;
        bytes32 keyId;
        bytes32 by;
        string origin;
    }

    address public immutable guardian;
    bool public immutable deviceBound;
    uint48 public immutable delay;
    /// The number of the last change that a key (false) or the guardian (true) began; the next is signed with the next
    /// number. Two counts, so that a thief cannot use up the guardian's.
    mapping(bool byGuardian => uint64 number) public changes;
    bytes32[] private keyIds;
    mapping(bytes32 keyId => Site) private sites;
    mapping(bool byGuardian => Change) private pending;

    event Enrolled(bytes32 indexed keyId, string origin);
    event Removed(bytes32 indexed keyId);
    event Proposed(uint64 indexed number, Kind kind, bytes32 indexed keyId, bytes32 by, uint48 ripe);
    event Vetoed(uint64 indexed number, bytes32 by, bool byGuardian);

    error BadAssertion();
    error BadKey(bytes32 keyId);
    error BadSettings();
    error StaleNumber(uint64 have, uint64 given);
    error ChangePending(uint64 number);
    error NoChange(uint64 number);
    error NotRipe(uint48 ripe);
    error MayNotVeto(bytes32 keyId);

    /// @dev Two keys from the first day, on two devices: losing one is no event. A constructor cannot ask them to sign;
    ///      whoever takes the account for somebody's compares `enrolled()` with the keys that person shows.
    constructor(address guardian_, bool deviceBound_, uint48 delay_, Key[] memory keys, bytes32 salt)
        SpaceDomain("Xinglin PasskeyAccount", salt)
    {
        if (keys.length < 2 || keys.length > MAX_KEYS || delay_ == 0 || delay_ > LONGEST_DELAY) revert BadSettings();
        if (guardian_ == address(this)) revert BadSettings();
        guardian = guardian_;
        deviceBound = deviceBound_;
        delay = delay_;
        for (uint256 i = 0; i < keys.length; i++) {
            if (!P256.isValidPublicKey(keys[i].x, keys[i].y)) revert BadKey(keyIdOf(keys[i].x, keys[i].y));
            _add(keyIdOf(keys[i].x, keys[i].y), keys[i].origin);
        }
    }

    /// @notice ERC-1271; `signature` is the ABI encoding of one Passkey.Assertion, in its one spelling.
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        Passkey.Assertion memory a = abi.decode(signature, (Passkey.Assertion));
        if (keccak256(abi.encode(a)) != keccak256(signature)) return 0xffffffff;
        return _signed(a, digest) ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// @notice Propose a further key: an enrolled key allows it and the new one shows that it is there.
    function enrol(Key calldata key, uint64 number, Passkey.Assertion calldata by, Passkey.Assertion calldata fresh)
        external
    {
        bytes32 speaker = keyIdOf(by.x, by.y);
        bytes32 digest = _digest(_enrolHash(key, number, speaker));
        if (!_signed(by, digest)) revert BadAssertion();
        _proposeKey(key, number, speaker, digest, fresh);
    }

    /// @notice The guardian proposes a further key for a person who lost theirs; it too shows that it is there.
    function enrolByGuardian(
        Key calldata key,
        uint64 number,
        bytes calldata signature,
        Passkey.Assertion calldata fresh
    ) external {
        bytes32 structHash = _enrolHash(key, number, GUARDIAN);
        _requireSigned(guardian, structHash, signature);
        _proposeKey(key, number, GUARDIAN, _digest(structHash), fresh);
    }

    /// @notice A key's own removal is done at once; another's is proposed.
    function remove(bytes32 keyId, uint64 number, Passkey.Assertion calldata by) external {
        bytes32 speaker = keyIdOf(by.x, by.y);
        if (!_signed(by, _digest(keccak256(abi.encode(REMOVE_TYPEHASH, keyId, number, speaker))))) {
            revert BadAssertion();
        }
        if (!isEnrolled(keyId) || keyIds.length < 2) revert BadKey(keyId);
        if (speaker == keyId) {
            _count(number, false);
            _drop(keyId);
        } else {
            _propose(Kind.Remove, keyId, "", number, speaker);
        }
    }

    /// @notice The guardian proposes to remove a key, a stolen one above all.
    function removeByGuardian(bytes32 keyId, uint64 number, bytes calldata signature) external {
        _requireSigned(guardian, keccak256(abi.encode(REMOVE_TYPEHASH, keyId, number, GUARDIAN)), signature);
        if (!isEnrolled(keyId) || keyIds.length < 2) revert BadKey(keyId);
        _propose(Kind.Remove, keyId, "", number, GUARDIAN);
    }

    /// @notice Stop a change that is proposed: any enrolled key, except one that the guardian wants to remove.
    function veto(bool byGuardian, uint64 number, Passkey.Assertion calldata by) external {
        Change storage change = _proposed(byGuardian, number);
        bytes32 speaker = keyIdOf(by.x, by.y);
        if (byGuardian && change.kind == Kind.Remove && change.keyId == speaker) revert MayNotVeto(speaker);
        if (!_signed(by, _digest(keccak256(abi.encode(VETO_TYPEHASH, byGuardian, number, speaker))))) revert BadAssertion();
        delete pending[byGuardian];
        emit Vetoed(number, speaker, byGuardian);
    }

    /// @notice The guardian stops a change that a key proposed, or takes back its own.
    function vetoByGuardian(bool byGuardian, uint64 number, bytes calldata signature) external {
        _proposed(byGuardian, number);
        _requireSigned(guardian, keccak256(abi.encode(VETO_TYPEHASH, byGuardian, number, GUARDIAN)), signature);
        delete pending[byGuardian];
        emit Vetoed(number, GUARDIAN, byGuardian);
    }

    /// @notice Put a change in place whose delay has passed; anybody may call. What cannot be done any more lapses: the
    ///         key that proposed it is gone, or the key is there already, or it is not there, or the last one.
    function finish(bool byGuardian, uint64 number) external {
        Change memory change = _proposed(byGuardian, number);
        if (block.timestamp < change.ripe) revert NotRipe(change.ripe);
        delete pending[byGuardian];
        bool there = isEnrolled(change.keyId);
        bool possible = byGuardian || isEnrolled(change.by);
        if (possible && change.kind == Kind.Enrol && !there && keyIds.length < MAX_KEYS) {
            _add(change.keyId, change.origin);
        } else if (possible && change.kind == Kind.Remove && there && keyIds.length > 1) {
            _drop(change.keyId);
        } else {
            emit Vetoed(number, change.by, byGuardian);
        }
    }

    function keyIdOf(bytes32 x, bytes32 y) public pure returns (bytes32) {
        return keccak256(abi.encode(x, y));
    }

    function isEnrolled(bytes32 keyId) public view returns (bool) {
        return sites[keyId].rpIdHash != 0;
    }

    /// @notice Every key of the account, and where it may be used.
    function enrolled() external view returns (bytes32[] memory ids, string[] memory origins) {
        ids = keyIds;
        origins = new string[](ids.length);
        for (uint256 i = 0; i < ids.length; i++) {
            origins[i] = sites[ids[i]].origin;
        }
    }

    /// @notice What is proposed now by a key (false) or by the guardian (true); kind None: nothing.
    function proposed(bool byGuardian) external view returns (Change memory) {
        return pending[byGuardian];
    }

    function _signed(Passkey.Assertion memory a, bytes32 digest) private view returns (bool) {
        Site memory site = sites[keyIdOf(a.x, a.y)];
        return site.rpIdHash != 0 && Passkey.verify(a, digest, site.rpIdHash, site.origin, deviceBound);
    }

    function _proposeKey(
        Key calldata key,
        uint64 number,
        bytes32 by,
        bytes32 digest,
        Passkey.Assertion calldata fresh
    ) private {
        bytes32 keyId = keyIdOf(key.x, key.y);
        if (isEnrolled(keyId) || keyIds.length >= MAX_KEYS) revert BadKey(keyId);
        if (fresh.x != key.x || fresh.y != key.y) revert BadAssertion();
        if (!Passkey.verify(fresh, digest, Passkey.rpIdHashOf(key.origin), key.origin, deviceBound)) {
            revert BadAssertion();
        }
        _propose(Kind.Enrol, keyId, key.origin, number, by);
    }

    function _propose(Kind kind, bytes32 keyId, string memory origin, uint64 number, bytes32 by) private {
        Change storage change = pending[by == GUARDIAN];
        if (change.kind != Kind.None) revert ChangePending(change.number);
        _count(number, by == GUARDIAN);
        uint48 ripe = uint48(block.timestamp) + delay;
        pending[by == GUARDIAN] = Change(kind, ripe, number, keyId, by, origin);
        emit Proposed(number, kind, keyId, by, ripe);
    }

    function _proposed(bool byGuardian, uint64 number) private view returns (Change storage change) {
        change = pending[byGuardian];
        if (change.kind == Kind.None || change.number != number) revert NoChange(number);
    }

    function _count(uint64 number, bool byGuardian) private {
        uint64 have = changes[byGuardian];
        if (number != have + 1) revert StaleNumber(have, number);
        changes[byGuardian] = number;
    }

    function _add(bytes32 keyId, string memory origin) private {
        if (isEnrolled(keyId)) revert BadKey(keyId);
        sites[keyId] = Site(Passkey.rpIdHashOf(origin), origin);
        keyIds.push(keyId);
        emit Enrolled(keyId, origin);
    }

    function _drop(bytes32 keyId) private {
        delete sites[keyId];
        for (uint256 i = 0; i < keyIds.length; i++) {
            if (keyIds[i] == keyId) {
                keyIds[i] = keyIds[keyIds.length - 1];
                keyIds.pop();
                break;
            }
        }
        emit Removed(keyId);
    }

    function _enrolHash(Key calldata key, uint64 number, bytes32 by) private pure returns (bytes32) {
        return keccak256(
            abi.encode(ENROL_TYPEHASH, keyIdOf(key.x, key.y), keccak256(bytes(key.origin)), number, by)
        );
    }
}
