// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @notice The EIP-712 domain of one data space: name, version, chain id, contract and, as salt, the space.
/// @dev OpenZeppelin's EIP712 leaves the salt out; with it a signature of one space says nothing in another.
abstract contract SpaceDomain {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private immutable nameHash;
    bytes32 public immutable spaceSalt;

    error BadSigner(address who);

    constructor(string memory name, bytes32 salt) {
        nameHash = keccak256(bytes(name));
        spaceSalt = salt;
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, nameHash, VERSION_HASH, block.chainid, address(this), spaceSalt));
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    /// @dev The highest number that a decision may bear whose numbers are its signer's clock: a day ahead, in ms.
    function _latestNumber() internal view returns (uint256) {
        return (block.timestamp + 1 days) * 1000;
    }

    /// @dev Accounts with a key and accounts that are contracts (ERC-1271) alike. One signature never fills two slots:
    ///      each slot has a message type of its own, and each message names the account that speaks, so that a key
    ///      which sits in two accounts must sign twice.
    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) internal view {
        if (signer == address(0) || !SignatureChecker.isValidSignatureNow(signer, _digest(structHash), signature)) {
            revert BadSigner(signer);
        }
    }
}
