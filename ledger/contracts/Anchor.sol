// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Rfc6962} from "./Rfc6962.sol";
import {SpaceRoles} from "./SpaceRoles.sol";

/// @notice Roots of append-only logs. The chain itself checks that each root continues the one before.
/// @dev The operator's key may append a root and nothing else; it cannot rewrite, rewind or fork a log.
contract Anchor is SpaceRoles {
    bytes32 public constant ANCHOR_ROLE = keccak256("ANCHOR_ROLE");

    /// @dev One slot; its root stands in `rootAt`, so that an anchor writes two slots and no third.
    struct Mark {
        uint64 size;
        uint64 time;
        uint64 count;
    }

    mapping(bytes32 logId => Mark) private marks;
    mapping(bytes32 logId => mapping(uint64 size => bytes32 root)) public rootAt;

    event Anchored(bytes32 indexed logId, uint64 indexed size, bytes32 root, uint64 prevSize);

    error BadConsistency();
    error StaleSize(uint64 have, uint64 given);
    error Equivocation(uint64 size);
    error BadRoot();

    constructor(address admin, address operator) SpaceRoles(admin) {
        _grantRole(ANCHOR_ROLE, operator);
    }

    /// @notice Continue log `logId` from `prevSize` leaves to `size`; repeating an anchor that stands is no error.
    function anchor(bytes32 logId, uint64 prevSize, uint64 size, bytes32 root, bytes32[] calldata proof)
        external
        onlyRole(ANCHOR_ROLE)
    {
        if (root == 0) revert BadRoot();
        bytes32 known = rootAt[logId][size];
        if (known != 0) {
            if (known != root) revert Equivocation(size);
            return;
        }
        Mark memory mark = marks[logId];
        if (mark.size != prevSize || size <= prevSize) revert StaleSize(mark.size, prevSize);
        if (!Rfc6962.consistency(prevSize, rootAt[logId][prevSize], size, root, proof)) revert BadConsistency();
        marks[logId] = Mark(size, uint64(block.timestamp), mark.count + 1);
        rootAt[logId][size] = root;
        emit Anchored(logId, size, root, prevSize);
    }

    function heads(bytes32 logId) external view returns (bytes32 root, uint64 size, uint64 time, uint64 count) {
        Mark memory mark = marks[logId];
        return (rootAt[logId][mark.size], mark.size, mark.time, mark.count);
    }

    function verifyInclusion(bytes32 logId, uint64 size, bytes32 leafHash, uint64 index, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        bytes32 root = rootAt[logId][size];
        return root != 0 && Rfc6962.inclusion(leafHash, index, size, path, root);
    }
}
