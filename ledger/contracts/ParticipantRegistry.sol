// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {SpaceDomain} from "./SpaceDomain.sol";

/// @notice The hash of each participant's current record, as the regulator admitted it.
/// @dev Anyone may relay; only a regulator's signature counts. The zero hash says: no longer admitted.
contract ParticipantRegistry is AccessControlDefaultAdminRules, SpaceDomain {
    bytes32 public constant REGULATOR_ROLE = keccak256("REGULATOR_ROLE");
    bytes32 private constant RECORD_TYPEHASH =
        keccak256("Record(bytes32 participantId,bytes32 recordHash,uint64 number,address decider)");

    struct Entry {
        bytes32 recordHash;
        uint64 number;
    }

    mapping(bytes32 participantId => Entry) private entries;

    event RecordPut(bytes32 indexed participantId, bytes32 recordHash, uint64 number, address decider);

    error NotRegulator(address who);
    error StaleNumber(uint64 have, uint64 given);

    constructor(address admin, bytes32 salt)
        AccessControlDefaultAdminRules(1 days, admin)
        SpaceDomain("Xinglin ParticipantRegistry", salt)
    {
        _grantRole(REGULATOR_ROLE, admin);
    }

    /// @notice Numbers only grow, so that an old record cannot be put back; repeating what stands is no error.
    function put(bytes32 participantId, bytes32 recordHash, uint64 number, address decider, bytes calldata signature)
        external
    {
        if (!hasRole(REGULATOR_ROLE, decider)) revert NotRegulator(decider);
        _requireSigned(
            decider, keccak256(abi.encode(RECORD_TYPEHASH, participantId, recordHash, number, decider)), signature
        );
        Entry storage entry = entries[participantId];
        if (number == entry.number && number != 0 && recordHash == entry.recordHash) return;
        if (number <= entry.number) revert StaleNumber(entry.number, number);
        entry.recordHash = recordHash;
        entry.number = number;
        emit RecordPut(participantId, recordHash, number, decider);
    }

    function recordOf(bytes32 participantId) external view returns (bytes32 recordHash, uint64 number) {
        Entry storage entry = entries[participantId];
        return (entry.recordHash, entry.number);
    }
}
