// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Anchor} from "../Anchor.sol";
import {SpaceRoles} from "../SpaceRoles.sol";
import {Check} from "./Vm.sol";

/// A role takes a day and is taken at once; the operator may anchor, and nothing else.
contract RolesTest is Check {
    address private constant ADMIN = address(0xAD);
    address private constant OPERATOR = address(0x0B);
    address private constant NEXT = address(0x0C);
    bytes4 private constant STRANGER = bytes4(keccak256("AccessControlUnauthorizedAccount(address,bytes32)"));
    Anchor private anchor;
    bytes32 private role;

    function setUp() public {
        vm.warp(START);
        anchor = new Anchor(ADMIN, OPERATOR);
        role = anchor.ANCHOR_ROLE();
    }

    function from(address who, bytes memory data) private {
        vm.prank(who);
        (bool done,) = address(anchor).call(data);
        check(done, "was refused");
    }

    function no(address who, bytes memory data, bytes4 error) private {
        refusedFrom(who, address(anchor), data, error);
    }

    function anchorCall() private pure returns (bytes memory) {
        return abi.encodeCall(Anchor.anchor, (bytes32("log"), 0, 1, bytes32("root"), new bytes32[](0)));
    }

    function test_it_works() public {
        from(OPERATOR, anchorCall());
        from(ADMIN, abi.encodeCall(anchor.scheduleRole, (role, NEXT)));
        no(ADMIN, abi.encodeCall(anchor.grantRole, (role, NEXT)), SpaceRoles.RoleNotRipe.selector);
        vm.warp(START + 1 days);
        from(ADMIN, abi.encodeCall(anchor.grantRole, (role, NEXT)));
        check(anchor.hasRole(role, NEXT), "named");
        from(ADMIN, abi.encodeCall(anchor.revokeRole, (role, OPERATOR)));
        no(OPERATOR, anchorCall(), STRANGER);
        no(ADMIN, abi.encodeCall(anchor.grantRole, (role, OPERATOR)), SpaceRoles.RoleNotScheduled.selector);
        check(anchor.getRoleMemberCount(role) == 1 && anchor.getRoleMember(role, 0) == NEXT, "the list follows");
    }

    function test_the_operator_only_anchors() public {
        bytes[5] memory calls = [
            abi.encodeCall(anchor.scheduleRole, (role, NEXT)),
            abi.encodeCall(anchor.grantRole, (role, NEXT)),
            abi.encodeCall(anchor.revokeRole, (role, OPERATOR)),
            abi.encodeCall(anchor.beginDefaultAdminTransfer, (OPERATOR)),
            abi.encodeCall(anchor.changeDefaultAdminDelay, (0))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            no(OPERATOR, calls[i], STRANGER);
            no(address(this), calls[i], STRANGER); // nor does the deployer
        }
        no(address(this), anchorCall(), STRANGER);
        no(ADMIN, anchorCall(), STRANGER);
        from(ADMIN, abi.encodeCall(anchor.scheduleRole, (role, NEXT)));
        no(OPERATOR, abi.encodeCall(anchor.callOffRole, (role, NEXT)), SpaceRoles.MayNotCallOff.selector);
    }

    function test_a_retry_is_no_error_and_another_root_is_one() public {
        from(OPERATOR, anchorCall());
        from(OPERATOR, anchorCall());
        bytes32[] memory none = new bytes32[](0);
        bytes memory other = abi.encodeCall(Anchor.anchor, (bytes32("log"), 0, 1, bytes32("other"), none));
        no(OPERATOR, other, Anchor.Equivocation.selector);
        no(OPERATOR, abi.encodeCall(Anchor.anchor, (bytes32("log"), 0, 2, bytes32("x"), none)), Anchor.StaleSize.selector);
        no(OPERATOR, abi.encodeCall(Anchor.anchor, (bytes32("new"), 0, 1, 0, none)), Anchor.BadRoot.selector);
    }

    function test_what_is_scheduled_can_be_called_off() public {
        from(ADMIN, abi.encodeCall(anchor.scheduleRole, (role, NEXT)));
        from(ADMIN, abi.encodeCall(anchor.callOffRole, (role, NEXT)));
        vm.warp(START + 2 days);
        no(ADMIN, abi.encodeCall(anchor.grantRole, (role, NEXT)), SpaceRoles.RoleNotScheduled.selector);
        no(ADMIN, abi.encodeCall(anchor.callOffRole, (role, NEXT)), SpaceRoles.RoleNotScheduled.selector);
    }

    function test_the_admin_itself_changes_only_with_delay() public {
        from(ADMIN, abi.encodeCall(anchor.beginDefaultAdminTransfer, (NEXT)));
        vm.prank(NEXT);
        (bool done,) = address(anchor).call(abi.encodeCall(anchor.acceptDefaultAdminTransfer, ()));
        check(!done, "at once");
        vm.warp(START + 1 days + 1);
        from(NEXT, abi.encodeCall(anchor.acceptDefaultAdminTransfer, ()));
        check(anchor.defaultAdmin() == NEXT && !anchor.hasRole(0x00, ADMIN), "handed over");
    }
}
