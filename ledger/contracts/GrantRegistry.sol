// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SpaceDomain} from "./SpaceDomain.sol";
import {SpaceRoles} from "./SpaceRoles.sol";

/// @notice Permissions of use: registered with the regulator's approval and the custodian's consent, counted,
///         suspended, revoked.
/// @dev Anyone may relay anything here; only the signatures count. A sender can forge nothing and owns nothing.
///      Approval and Consent are two message types, each naming its decider: one signature never fills both slots.
///      The Approval also names the custodian: whoever relays it cannot set an own key in the custodian's place.
///      Roles and keys are looked at when a grant is registered. Taking REGULATOR_ROLE from somebody, or removing a key
///      from an account, does NOT switch off the grants decided with it: whether they go on is a decision of its own
///      (revoke or suspend, by any other regulator), so that a change of staff stops no research and a stolen admin key
///      stops nothing in silence.
contract GrantRegistry is SpaceRoles, SpaceDomain {
    uint48 public constant LONGEST_PERIOD = 3660 days;
    uint48 public constant LONGEST_SIGNING = 92 days;

    bytes32 private constant APPROVAL_TYPEHASH = keccak256(
        "Approval(bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy,address custodian)"
    );
    bytes32 private constant CONSENT_TYPEHASH = keccak256(
        "Consent(bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy,address service)"
    );
    bytes32 private constant REVOCATION_TYPEHASH =
        keccak256("Revocation(bytes32 grantId,bytes32 reasonHash,address decider)");
    bytes32 private constant CANCELLATION_TYPEHASH =
        keccak256("Cancellation(bytes32 grantId,bytes32 nonce,address decider)");
    bytes32 private constant SUSPENSION_TYPEHASH =
        keccak256("Suspension(bytes32 grantId,bool suspended,uint64 number,address decider)");
    bytes32 private constant USE_TYPEHASH = keccak256("Use(bytes32 grantId,bytes32 jobHash)");

    struct Terms {
        bytes32 grantId;
        bytes32 termsHash;
        bytes32 datasetId;
        bytes32 purpose;
        address grantee;
        uint48 notBefore;
        uint48 notAfter;
        uint32 maxUses;
    }

    struct Approval {
        address decider;
        bytes32 nonce;
        uint48 signBy;
        bytes signature;
    }

    struct Consent {
        address decider;
        bytes32 nonce;
        uint48 signBy;
        address service;
        bytes signature;
    }

    struct Grant {
        bytes32 termsHash;
        bytes32 datasetId;
        bytes32 purpose;
        address grantee;
        uint48 notBefore;
        uint48 notAfter;
        address regulator;
        uint32 maxUses;
        uint32 uses;
        address custodian;
        bool revoked;
        bool suspendedByRegulator;
        bool suspendedByCustodian;
        address service;
        uint64 registeredBlock;
    }

    mapping(bytes32 grantId => Grant) private entries;
    mapping(bytes32 datasetId => address custodian) public ownerOf;
    mapping(bytes32 grantId => mapping(bytes32 jobHash => bool)) public used;
    /// Revoked before registration, by whoever signed so: that decider can no longer take part in it.
    mapping(bytes32 grantId => mapping(address decider => bool)) public tombstones;
    /// Revoked before registration by a regulator: nobody registers it any more.
    mapping(bytes32 grantId => bool) public barred;
    /// Approvals and consents that their decider took back before anybody registered them.
    mapping(bytes32 grantId => mapping(address decider => mapping(bytes32 nonce => bool))) public cancelled;
    /// The number of the last suspension or its lifting, of the regulator's side and of the custodian's.
    mapping(bytes32 grantId => mapping(bool byCustodian => uint64 number)) public suspensions;

    event Granted(
        bytes32 indexed grantId,
        bytes32 indexed datasetId,
        address indexed grantee,
        address regulator,
        address custodian,
        bytes32 termsHash
    );
    event Revoked(bytes32 indexed grantId, address indexed decider, bytes32 reasonHash);
    event Cancelled(bytes32 indexed grantId, address indexed decider, bytes32 nonce);
    event Suspended(bytes32 indexed grantId, address indexed decider, bool suspended, uint64 number);
    event Used(bytes32 indexed grantId, bytes32 indexed jobHash, uint32 uses);

    error BadTerms();
    error NotRegulator(address who);
    error NotCustodian(address who);
    error SignedTooLate(uint48 signBy);
    error Exists(bytes32 grantId);
    error AlreadyCancelled(bytes32 grantId, address decider);
    error StaleNumber(uint64 have, uint64 given);
    error AlreadyRevoked(bytes32 grantId);
    error NotOwner(bytes32 datasetId, address owner, address who);
    error NotRegistered(bytes32 grantId);
    error NotActive(bytes32 grantId);
    error UsedUp(bytes32 grantId);

    constructor(address admin, address[] memory regulators, bytes32 salt)
        SpaceRoles(admin)
        SpaceDomain("Xinglin GrantRegistry", salt)
    {
        _grantRegulators(regulators);
    }

    /// @notice Register a grant under both signatures; repeating one that stands is no error and changes nothing.
    function register(Terms calldata t, Approval calldata a, Consent calldata c) external {
        Grant storage g = entries[t.grantId];
        if (g.registeredBlock != 0) {
            if (
                g.termsHash != t.termsHash || g.regulator != a.decider || g.custodian != c.decider
                    || g.service != c.service
            ) revert Exists(t.grantId);
            return;
        }
        _checkTerms(t, c.service);
        if (barred[t.grantId] || tombstones[t.grantId][a.decider] || tombstones[t.grantId][c.decider]) {
            revert AlreadyRevoked(t.grantId);
        }
        if (!hasRole(REGULATOR_ROLE, a.decider)) revert NotRegulator(a.decider);
        if (hasRole(REGULATOR_ROLE, c.decider)) revert NotCustodian(c.decider);
        _checkUsable(t.grantId, a.decider, a.nonce, a.signBy);
        _checkUsable(t.grantId, c.decider, c.nonce, c.signBy);
        address owner = ownerOf[t.datasetId];
        if (owner != address(0) && owner != c.decider) revert NotOwner(t.datasetId, owner, c.decider);
        _requireSigned(a.decider, _approvalHash(t, a, c.decider), a.signature);
        _requireSigned(c.decider, _consentHash(t, c), c.signature);
        if (owner == address(0)) ownerOf[t.datasetId] = c.decider;
        g.termsHash = t.termsHash;
        g.datasetId = t.datasetId;
        g.purpose = t.purpose;
        g.grantee = t.grantee;
        g.notBefore = t.notBefore;
        g.notAfter = t.notAfter;
        g.regulator = a.decider;
        g.maxUses = t.maxUses;
        g.custodian = c.decider;
        g.service = c.service;
        g.registeredBlock = uint64(block.number);
        emit Granted(t.grantId, t.datasetId, t.grantee, a.decider, c.decider, t.termsHash);
    }

    /// @notice Take a grant away, for good: by any regulator or its custodian; also before it was registered.
    function revoke(bytes32 grantId, bytes32 reasonHash, address decider, bytes calldata signature) external {
        Grant storage g = entries[grantId];
        bool regulator = hasRole(REGULATOR_ROLE, decider);
        if (g.registeredBlock != 0 && !regulator && decider != g.custodian) revert NotCustodian(decider);
        _requireSigned(decider, keccak256(abi.encode(REVOCATION_TYPEHASH, grantId, reasonHash, decider)), signature);
        if (g.registeredBlock != 0) {
            if (g.revoked) return;
            g.revoked = true;
        } else {
            if (tombstones[grantId][decider]) return;
            tombstones[grantId][decider] = true;
            if (regulator) barred[grantId] = true;
        }
        emit Revoked(grantId, decider, reasonHash);
    }

    /// @notice Take back an approval or a consent that was signed and not yet registered: it can never be used.
    /// @dev Anybody may cancel what they signed themselves. Of a registered grant it says Exists, never silence: revoke.
    function cancel(bytes32 grantId, bytes32 nonce, address decider, bytes calldata signature) external {
        if (cancelled[grantId][decider][nonce]) return;
        if (entries[grantId].registeredBlock != 0) revert Exists(grantId);
        _requireSigned(decider, keccak256(abi.encode(CANCELLATION_TYPEHASH, grantId, nonce, decider)), signature);
        cancelled[grantId][decider][nonce] = true;
        emit Cancelled(grantId, decider, nonce);
    }

    /// @notice Hold a grant, or let it go on: the regulators' side and the custodian each for itself. It is suspended
    ///         while either side holds it.
    /// @dev Each side's numbers rise (the signer's clock in milliseconds will do): an old signature cannot be played
    ///      again. None may lie more than a day ahead, so that a stolen key cannot use them up. The custodian of a grant speaks for the custodian's side only,
    ///      also if it was made a regulator since.
    function suspend(bytes32 grantId, bool suspended, uint64 number, address decider, bytes calldata signature)
        external
    {
        Grant storage g = entries[grantId];
        if (g.registeredBlock == 0) revert NotRegistered(grantId);
        bool byCustodian = decider == g.custodian;
        if (!byCustodian && !hasRole(REGULATOR_ROLE, decider)) revert NotRegulator(decider);
        _requireSigned(
            decider, keccak256(abi.encode(SUSPENSION_TYPEHASH, grantId, suspended, number, decider)), signature
        );
        uint64 have = suspensions[grantId][byCustodian];
        bool stands = byCustodian ? g.suspendedByCustodian : g.suspendedByRegulator;
        if (number == have && number != 0 && suspended == stands) return;
        if (number <= have || number > _latestNumber()) revert StaleNumber(have, number);
        suspensions[grantId][byCustodian] = number;
        if (byCustodian) g.suspendedByCustodian = suspended;
        else g.suspendedByRegulator = suspended;
        emit Suspended(grantId, decider, suspended, number);
    }

    /// @notice Count one use for one job, under the service key the custodian named; the same job counts once.
    function consume(bytes32 grantId, bytes32 jobHash, bytes calldata signature) external {
        Grant storage g = entries[grantId];
        if (g.registeredBlock == 0) revert NotRegistered(grantId);
        _requireSigned(g.service, keccak256(abi.encode(USE_TYPEHASH, grantId, jobHash)), signature);
        if (used[grantId][jobHash]) return;
        if (!_stands(g)) revert NotActive(grantId);
        if (g.uses >= g.maxUses) revert UsedUp(grantId);
        used[grantId][jobHash] = true;
        g.uses += 1;
        emit Used(grantId, jobHash, g.uses);
    }

    function grants(bytes32 grantId) external view returns (Grant memory) {
        return entries[grantId];
    }

    function isRevoked(bytes32 grantId) external view returns (bool) {
        return entries[grantId].revoked || barred[grantId];
    }

    function isActive(bytes32 grantId) public view returns (bool) {
        Grant storage g = entries[grantId];
        return g.registeredBlock != 0 && _stands(g) && g.uses < g.maxUses;
    }

    /// @notice Active, and for exactly this grantee, dataset and purpose.
    function isActiveFor(bytes32 grantId, address grantee, bytes32 datasetId, bytes32 purpose)
        external
        view
        returns (bool)
    {
        Grant storage g = entries[grantId];
        return isActive(grantId) && g.grantee == grantee && g.datasetId == datasetId && g.purpose == purpose;
    }

    function _stands(Grant storage g) private view returns (bool) {
        return !g.revoked && !g.suspendedByRegulator && !g.suspendedByCustodian && block.timestamp >= g.notBefore
            && block.timestamp < g.notAfter;
    }

    function _checkTerms(Terms calldata t, address service) private view {
        if (
            t.grantId == 0 || t.termsHash == 0 || t.datasetId == 0 || t.grantee == address(0) || t.maxUses == 0
                || service == address(0) || t.notAfter <= t.notBefore || t.notAfter <= block.timestamp
                || t.notAfter - t.notBefore > LONGEST_PERIOD || t.notAfter - block.timestamp > LONGEST_PERIOD
        ) revert BadTerms();
    }

    function _checkUsable(bytes32 grantId, address decider, bytes32 nonce, uint48 signBy) private view {
        if (signBy < block.timestamp) revert SignedTooLate(signBy);
        if (signBy - block.timestamp > LONGEST_SIGNING) revert BadTerms();
        if (cancelled[grantId][decider][nonce]) revert AlreadyCancelled(grantId, decider);
    }

    function _approvalHash(Terms calldata t, Approval calldata a, address custodian) private pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encode(APPROVAL_TYPEHASH, t.grantId, t.termsHash, t.datasetId, t.purpose, t.grantee),
                abi.encode(a.decider, t.notBefore, t.notAfter, t.maxUses, a.nonce, a.signBy, custodian)
            )
        );
    }

    function _consentHash(Terms calldata t, Consent calldata c) private pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encode(CONSENT_TYPEHASH, t.grantId, t.termsHash, t.datasetId, t.purpose, t.grantee),
                abi.encode(c.decider, t.notBefore, t.notAfter, t.maxUses, c.nonce, c.signBy, c.service)
            )
        );
    }
}
