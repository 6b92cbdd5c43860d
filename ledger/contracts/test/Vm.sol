// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// The few of forge's cheatcodes that these tests use.
interface Vm {
    function warp(uint256 time) external;
    function prank(address sender) external;
    function etch(address target, bytes calldata code) external;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function signP256(uint256 key, bytes32 digest) external pure returns (bytes32 r, bytes32 s);
    function publicKeyP256(uint256 key) external pure returns (uint256 x, uint256 y);
    function assume(bool condition) external pure;
}

abstract contract Check {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 internal constant START = 1_800_000_000;

    function check(bool holds, string memory what) internal pure {
        require(holds, what);
    }

    /// The call must be refused, and with this error.
    function refused(address target, bytes memory data, bytes4 error) internal {
        refusedFrom(address(this), target, data, error);
    }

    function refusedFrom(address sender, address target, bytes memory data, bytes4 error) internal {
        vm.prank(sender);
        (bool done, bytes memory said) = target.call(data);
        require(!done, "went through");
        require(said.length >= 4 && bytes4(said) == error, "refused for another reason");
    }

    function accepted(address target, bytes memory data) internal {
        (bool done,) = target.call(data);
        require(done, "was refused");
    }

    function one(address who) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = who;
    }
}
