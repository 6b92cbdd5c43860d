// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Proofs of RFC 6962 / RFC 9162 logs over SHA-256 (precompile 0x02). Pure rules: holds no state.
/// @dev A proof does not bind the tree's size by itself: pass (size, root) only as one pair that was anchored together.
library Rfc6962 {
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev RFC 9162 section 2.1.3.2
    function inclusion(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        uint64 fn = index;
        uint64 sn = size - 1;
        bytes32 r = leaf;
        for (uint256 i = 0; i < path.length; i++) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                r = node(path[i], r);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                r = node(r, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && r == root;
    }

    /// @dev RFC 9162 section 2.1.4.2; an empty log is consistent with everything, and has the empty proof.
    function consistency(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (first == 0) return path.length == 0;
        if (first > second) return false;
        if (first == second) return path.length == 0 && firstRoot == secondRoot;
        if (path.length == 0) return false;
        uint256 i = 0;
        bytes32 fr = firstRoot;
        if (first & (first - 1) != 0) {
            fr = path[0];
            i = 1;
        }
        bytes32 sr = fr;
        uint64 fn = first - 1;
        uint64 sn = second - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        for (; i < path.length; i++) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                fr = node(path[i], fr);
                sr = node(path[i], sr);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                sr = node(sr, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && fr == firstRoot && sr == secondRoot;
    }
}
