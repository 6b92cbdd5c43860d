// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SpaceDomain} from "./SpaceDomain.sol";
import {SpaceRoles} from "./SpaceRoles.sol";

/// @notice The hash of each participant's current record, as the regulator admitted it and as the participant's
///         controller (a person's approval key, or that person's PasskeyAccount) accepted it.
/// @dev Anyone may relay; only signatures count. A record is replaced under the regulator's signature and that of the
///      controller who holds it; where the holder's key is lost, the regulator proposes, and the holder or any regulator
///      has `vetoDelay` to say no. So neither the operator nor one stolen regulator key swaps a participant's keys, nor
///      does the participant change its own record without the regulator. Removing somebody's REGULATOR_ROLE leaves the
///      records that they admitted; what they proposed lapses, as does what nobody finished for long, and another may
///      take its place. What a regulator signed and nobody relayed lapses too. The zero hash says: no longer admitted.
contract ParticipantRegistry is SpaceRoles, SpaceDomain {
    uint48 public constant LONGEST_VETO = 30 days;
    /// How long a proposal waits to be finished, once it may be.
    uint48 public constant LAPSES_AFTER = 30 days;
    uint48 public constant LONGEST_SIGNING = 92 days;
    /// How far a record's number may rise at once, so that nobody uses the numbers up.
    uint64 public constant LARGEST_STEP = 1000;

    bytes32 private constant RECORD_TYPEHASH = keccak256(
        "Record(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,uint48 signBy,address decider)"
    );
    bytes32 private constant CONTROL_TYPEHASH =
        keccak256("Control(bytes32 participantId,bytes32 recordHash,uint64 number,address controller)");
    bytes32 private constant HANDOVER_TYPEHASH = keccak256(
        "Handover(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,address holder)"
    );
    bytes32 private constant PROPOSAL_TYPEHASH = keccak256(
        "Proposal(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,uint48 signBy,address decider)"
    );
    bytes32 private constant VETO_TYPEHASH = keccak256(
        "Veto(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,address decider)"
    );
    bytes32 private constant SUSPENSION_TYPEHASH =
        keccak256("Suspension(bytes32 participantId,bool suspended,uint64 number,address decider)");

    struct Record {
        bytes32 participantId;
        bytes32 recordHash;
        uint64 number;
        address controller;
    }

    /// A regulator's word on a record, good until `signBy`.
    struct Decision {
        address decider;
        uint48 signBy;
        bytes signature;
    }

    struct Entry {
        bytes32 recordHash;
        address controller;
        uint64 number;
        bool suspended;
        uint64 suspensions;
    }

    struct Proposal {
        bytes32 recordHash;
        address controller;
        uint64 number;
        address decider;
        uint48 ripe;
    }

    uint48 public immutable vetoDelay;
    mapping(bytes32 participantId => Entry) private entries;
    mapping(bytes32 participantId => Proposal) private proposals;
    /// Proposals that were vetoed or overtaken: the same signature cannot start them again.
    mapping(bytes32 structHash => bool) public burned;

    event RecordPut(
        bytes32 indexed participantId, bytes32 recordHash, uint64 number, address controller, address decider
    );
    event RecordProposed(
        bytes32 indexed participantId,
        bytes32 recordHash,
        uint64 number,
        address controller,
        address decider,
        uint48 ripe
    );
    event RecordVetoed(bytes32 indexed participantId, uint64 number, address indexed decider);
    event ParticipantSuspended(bytes32 indexed participantId, bool suspended, uint64 number, address indexed decider);

    error NotRegulator(address who);
    error NotController(address who);
    error BadRecord();
    error StaleNumber(uint64 have, uint64 given);
    error NotRegistered(bytes32 id);
    error ProposalPending(uint64 number);
    error NoProposal(uint64 number);
    error NotRipe(uint48 ripe);
    error Burned(uint64 number);
    error SignedTooLate(uint48 signBy);
    error Lapsed(uint64 number);

    constructor(address admin, address[] memory regulators, uint48 vetoDelay_, bytes32 salt)
        SpaceRoles(admin)
        SpaceDomain("Xinglin ParticipantRegistry", salt)
    {
        if (vetoDelay_ == 0 || vetoDelay_ > LONGEST_VETO) revert BadRecord();
        vetoDelay = vetoDelay_;
        _grantRegulators(regulators);
    }

    /// @notice Put a record in place: a regulator's Record and the controller's Control; where the controller changes,
    ///         also a Handover by the one who holds it until now. Repeating what stands is no error.
    /// @param handover the holder's signature; empty for a first record, or when the controller stays.
    function put(Record calldata r, Decision calldata d, bytes calldata control, bytes calldata handover) external {
        Entry storage entry = entries[r.participantId];
        if (
            entry.number != 0 && r.number == entry.number && r.recordHash == entry.recordHash
                && r.controller == entry.controller
        ) return;
        _checkNumber(r, entry);
        _requireDecision(RECORD_TYPEHASH, r, d);
        _requireSigned(r.controller, _controlHash(r), control);
        address holder = entry.controller;
        if (holder != address(0) && holder != r.controller) {
            _requireSigned(holder, _hash(HANDOVER_TYPEHASH, r, holder), handover);
        }
        _dropProposal(r.participantId);
        _store(r, entry, d.decider);
    }

    /// @notice Replace a record whose holder cannot sign: takes effect by `finish`, after the delay, if nobody vetoes.
    function propose(Record calldata r, Decision calldata d, bytes calldata control) external {
        Entry storage entry = entries[r.participantId];
        if (entry.number == 0) revert NotRegistered(r.participantId);
        Proposal storage p = proposals[r.participantId];
        if (p.number != 0) {
            if (!_isDead(p)) revert ProposalPending(p.number);
            _dropProposal(r.participantId);
        }
        _checkNumber(r, entry);
        if (burned[_controlHash(r)]) revert Burned(r.number);
        _requireDecision(PROPOSAL_TYPEHASH, r, d);
        _requireSigned(r.controller, _controlHash(r), control);
        uint48 ripe = uint48(block.timestamp) + vetoDelay;
        proposals[r.participantId] = Proposal(r.recordHash, r.controller, r.number, d.decider, ripe);
        emit RecordProposed(r.participantId, r.recordHash, r.number, r.controller, d.decider, ripe);
    }

    /// @notice Stop a proposal: the holder, or any regulator (a stolen key of one is thus not enough).
    function veto(bytes32 participantId, uint64 number, address decider, bytes calldata signature) external {
        Proposal storage p = proposals[participantId];
        if (p.number == 0 || p.number != number) revert NoProposal(number);
        if (decider != entries[participantId].controller && !hasRole(REGULATOR_ROLE, decider)) {
            revert NotController(decider);
        }
        bytes32 structHash =
            keccak256(abi.encode(VETO_TYPEHASH, participantId, p.recordHash, number, p.controller, decider));
        _requireSigned(decider, structHash, signature);
        _dropProposal(participantId);
        emit RecordVetoed(participantId, number, decider);
    }

    /// @notice Put a proposal in place whose delay has passed; anybody may call.
    function finish(bytes32 participantId) external {
        Proposal memory p = proposals[participantId];
        if (p.number == 0) revert NoProposal(0);
        if (block.timestamp < p.ripe) revert NotRipe(p.ripe);
        if (!hasRole(REGULATOR_ROLE, p.decider)) revert NotRegulator(p.decider);
        if (_isOver(p.ripe)) revert Lapsed(p.number);
        _dropProposal(participantId);
        _store(Record(participantId, p.recordHash, p.number, p.controller), entries[participantId], p.decider);
    }

    /// @notice A regulator holds a participant, or lets it act again; the numbers rise, as those of a grant's suspension.
    function suspend(bytes32 participantId, bool suspended, uint64 number, address decider, bytes calldata signature)
        external
    {
        Entry storage entry = entries[participantId];
        if (entry.number == 0) revert NotRegistered(participantId);
        _requireRegulator(
            decider, keccak256(abi.encode(SUSPENSION_TYPEHASH, participantId, suspended, number, decider)), signature
        );
        uint64 have = entry.suspensions;
        if (number == have && number != 0 && suspended == entry.suspended) return;
        if (number <= have || number > _latestNumber()) revert StaleNumber(have, number);
        entry.suspensions = number;
        entry.suspended = suspended;
        emit ParticipantSuspended(participantId, suspended, number, decider);
    }

    function recordOf(bytes32 participantId)
        external
        view
        returns (bytes32 recordHash, uint64 number, address controller, bool suspended)
    {
        Entry storage entry = entries[participantId];
        return (entry.recordHash, entry.number, entry.controller, entry.suspended);
    }

    function suspensionsOf(bytes32 participantId) external view returns (uint64) {
        return entries[participantId].suspensions;
    }

    /// @notice What is proposed now; number zero: nothing.
    function proposalOf(bytes32 participantId) external view returns (Proposal memory) {
        return proposals[participantId];
    }

    function _checkNumber(Record calldata r, Entry storage entry) private view {
        if (r.participantId == 0 || r.controller == address(0)) revert BadRecord();
        if (r.number <= entry.number || r.number - entry.number > LARGEST_STEP) {
            revert StaleNumber(entry.number, r.number);
        }
    }

    /// Nobody can finish it any more; it still stands where its holder would look, until another takes its place.
    function _isDead(Proposal storage p) private view returns (bool) {
        return _isOver(p.ripe) || !hasRole(REGULATOR_ROLE, p.decider);
    }

    function _isOver(uint48 ripe) private view returns (bool) {
        return block.timestamp > uint256(ripe) + LAPSES_AFTER;
    }

    function _requireDecision(bytes32 typeHash, Record calldata r, Decision calldata d) private view {
        if (d.signBy < block.timestamp) revert SignedTooLate(d.signBy);
        if (d.signBy - block.timestamp > LONGEST_SIGNING) revert BadRecord();
        bytes32 structHash = keccak256(
            abi.encode(typeHash, r.participantId, r.recordHash, r.number, r.controller, d.signBy, d.decider)
        );
        _requireRegulator(d.decider, structHash, d.signature);
    }

    function _requireRegulator(address decider, bytes32 structHash, bytes calldata signature) private view {
        if (!hasRole(REGULATOR_ROLE, decider)) revert NotRegulator(decider);
        _requireSigned(decider, structHash, signature);
    }

    function _dropProposal(bytes32 participantId) private {
        Proposal storage p = proposals[participantId];
        if (p.number == 0) return;
        burned[keccak256(abi.encode(CONTROL_TYPEHASH, participantId, p.recordHash, p.number, p.controller))] = true;
        delete proposals[participantId];
    }

    function _store(Record memory r, Entry storage entry, address decider) private {
        entry.recordHash = r.recordHash;
        entry.number = r.number;
        entry.controller = r.controller;
        emit RecordPut(r.participantId, r.recordHash, r.number, r.controller, decider);
    }

    function _hash(bytes32 typeHash, Record calldata r, address speaker) private pure returns (bytes32) {
        return keccak256(abi.encode(typeHash, r.participantId, r.recordHash, r.number, r.controller, speaker));
    }

    function _controlHash(Record calldata r) private pure returns (bytes32) {
        return keccak256(abi.encode(CONTROL_TYPEHASH, r.participantId, r.recordHash, r.number, r.controller));
    }
}
