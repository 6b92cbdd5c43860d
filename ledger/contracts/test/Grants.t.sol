// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {GrantRegistry} from "../GrantRegistry.sol";
import {Passkey} from "../Passkey.sol";
import {PasskeyAccount} from "../PasskeyAccount.sol";
import {SpaceDomain} from "../SpaceDomain.sol";
import {SpaceRoles} from "../SpaceRoles.sol";
import {Signing} from "./Signing.sol";

/// What one stolen key can do to grants: the operator's, one regulator's, one custodian's, one that sits in two places.
contract GrantsTest is Signing {
    uint256 private constant ADMIN = 0x11;
    uint256 private constant REGULATOR = 0x12;
    uint256 private constant CUSTODIAN = 0x13;
    uint256 private constant SERVICE = 0x14;
    uint256 private constant OPERATOR = 0x15;
    uint256 private constant OTHER = 0x16;
    GrantRegistry private registry;
    GrantRegistry.Terms private t;

    function setUp() public {
        vm.warp(START);
        registry = new GrantRegistry(vm.addr(ADMIN), one(vm.addr(REGULATOR)), "space");
        t = GrantRegistry.Terms({
            grantId: "grant",
            termsHash: "terms",
            datasetId: "dataset",
            purpose: "purpose",
            grantee: address(0xC0FFEE),
            notBefore: uint48(START - 60),
            notAfter: uint48(START + 30 days),
            maxUses: 2
        });
    }

    function approval(uint256 key) private view returns (GrantRegistry.Approval memory a) {
        a = GrantRegistry.Approval(vm.addr(key), "nonce", uint48(block.timestamp + 1 days), "");
        a.signature = signed(key, registry, approvalOf(t, a.decider, a.nonce, a.signBy, vm.addr(CUSTODIAN)));
    }

    function consent(uint256 key) private view returns (GrantRegistry.Consent memory c) {
        c = GrantRegistry.Consent(vm.addr(key), "nonce", uint48(block.timestamp + 1 days), vm.addr(SERVICE), "");
        c.signature = signed(key, registry, consentOf(t, c.decider, c.nonce, c.signBy, c.service));
    }

    function registerCall(GrantRegistry.Approval memory a, GrantRegistry.Consent memory c)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(registry.register, (t, a, c));
    }

    function register() private {
        accepted(address(registry), registerCall(approval(REGULATOR), consent(CUSTODIAN)));
    }

    function revokeCall(uint256 key, bytes32 grantId) private view returns (bytes memory) {
        bytes memory s = signed(key, registry, revocationOf(grantId, "reason", vm.addr(key)));
        return abi.encodeCall(registry.revoke, (grantId, "reason", vm.addr(key), s));
    }

    function suspendCall(uint256 key, bool on, uint64 number) private view returns (bytes memory) {
        bytes memory s = signed(key, registry, suspensionOf(t.grantId, on, number, vm.addr(key)));
        return abi.encodeCall(registry.suspend, (t.grantId, on, number, vm.addr(key), s));
    }

    function consumeCall(uint256 key, bytes32 job) private view returns (bytes memory) {
        return abi.encodeCall(registry.consume, (t.grantId, job, signed(key, registry, useOf(t.grantId, job))));
    }

    function active() private view returns (bool) {
        return registry.isActiveFor(t.grantId, t.grantee, t.datasetId, t.purpose);
    }

    function no(bytes memory data, bytes4 error) private {
        refusedFrom(vm.addr(OPERATOR), address(registry), data, error);
    }

    function test_it_works() public {
        register();
        check(active() && registry.isActive(t.grantId), "active");
        check(!registry.isActiveFor(t.grantId, address(1), t.datasetId, t.purpose), "grantee");
        check(!registry.isActiveFor(t.grantId, t.grantee, "other", t.purpose), "dataset");
        check(!registry.isActiveFor(t.grantId, t.grantee, t.datasetId, "other"), "purpose");
        accepted(address(registry), consumeCall(SERVICE, "job"));
        accepted(address(registry), consumeCall(SERVICE, "job"));
        check(registry.grants(t.grantId).uses == 1, "one job counts once");
        accepted(address(registry), consumeCall(SERVICE, "another"));
        check(!active(), "used up");
        no(consumeCall(SERVICE, "third"), GrantRegistry.UsedUp.selector);
    }

    // the operator's key

    function test_the_operator_decides_nothing() public {
        no(registerCall(approval(OPERATOR), consent(CUSTODIAN)), GrantRegistry.NotRegulator.selector);
        GrantRegistry.Approval memory forged = approval(OPERATOR);
        forged.decider = vm.addr(REGULATOR);
        no(registerCall(forged, consent(CUSTODIAN)), SpaceDomain.BadSigner.selector);
        register();
        no(revokeCall(OPERATOR, t.grantId), GrantRegistry.NotCustodian.selector);
        no(suspendCall(OPERATOR, true, 1), GrantRegistry.NotRegulator.selector);
        no(consumeCall(OPERATOR, "job"), SpaceDomain.BadSigner.selector);
        bytes32 role = registry.REGULATOR_ROLE();
        bytes4 stranger = bytes4(keccak256("AccessControlUnauthorizedAccount(address,bytes32)"));
        no(abi.encodeCall(registry.grantRole, (role, vm.addr(OPERATOR))), stranger);
        no(abi.encodeCall(registry.scheduleRole, (role, vm.addr(OPERATOR))), stranger);
        no(abi.encodeCall(registry.revokeRole, (role, vm.addr(REGULATOR))), stranger);
        no(abi.encodeCall(registry.beginDefaultAdminTransfer, (vm.addr(OPERATOR))), stranger);
        no(abi.encodeCall(registry.callOffRole, (role, vm.addr(OPERATOR))), SpaceRoles.MayNotCallOff.selector);
        check(active(), "still active");
    }

    function test_nobody_but_the_named_holds_a_role() public view {
        check(!registry.hasRole(0x00, address(this)), "the deployer is no admin");
        check(!registry.hasRole(registry.REGULATOR_ROLE(), address(this)), "the deployer is no regulator");
        check(!registry.hasRole(registry.REGULATOR_ROLE(), vm.addr(ADMIN)), "nor is the admin, unless named");
        check(registry.defaultAdmin() == vm.addr(ADMIN), "the admin");
        address[] memory admins = registry.getRoleMembers(0x00);
        address[] memory regulators = registry.getRoleMembers(registry.REGULATOR_ROLE());
        check(admins.length == 1 && admins[0] == vm.addr(ADMIN), "one admin");
        check(regulators.length == 1 && regulators[0] == vm.addr(REGULATOR), "one regulator");
    }

    // one regulator's key

    function test_a_regulators_key_alone_registers_nothing() public {
        no(registerCall(approval(REGULATOR), consent(REGULATOR)), GrantRegistry.NotCustodian.selector);
        GrantRegistry.Consent memory forged = consent(REGULATOR);
        forged.decider = vm.addr(CUSTODIAN);
        no(registerCall(approval(REGULATOR), forged), SpaceDomain.BadSigner.selector);
    }

    function test_a_dataset_keeps_its_owner_against_regulator_and_stranger() public {
        register();
        t.grantId = "second";
        no(registerCall(approval(REGULATOR), consent(OTHER)), GrantRegistry.NotOwner.selector);
        check(registry.ownerOf(t.datasetId) == vm.addr(CUSTODIAN), "the owner");
    }

    // one custodian's key

    function test_a_custodians_key_alone_registers_nothing() public {
        no(registerCall(approval(CUSTODIAN), consent(CUSTODIAN)), GrantRegistry.NotRegulator.selector);
        no(registerCall(approval(CUSTODIAN), consent(OTHER)), GrantRegistry.NotRegulator.selector);
        GrantRegistry.Approval memory forged = approval(CUSTODIAN);
        forged.decider = vm.addr(REGULATOR);
        no(registerCall(forged, consent(CUSTODIAN)), SpaceDomain.BadSigner.selector);
        check(registry.ownerOf(t.datasetId) == address(0), "no owner was fixed");
    }

    /// Whoever relays an approval (the operator sees each) cannot set an own key in the custodian's place: it would own
    /// the dataset for good.
    function test_an_approval_is_of_one_custodian() public {
        no(registerCall(approval(REGULATOR), consent(OTHER)), SpaceDomain.BadSigner.selector);
        no(registerCall(approval(REGULATOR), consent(OPERATOR)), SpaceDomain.BadSigner.selector);
        check(registry.ownerOf(t.datasetId) == address(0), "no owner was fixed");
        register();
        check(registry.ownerOf(t.datasetId) == vm.addr(CUSTODIAN), "the owner");
    }

    function test_a_custodian_touches_no_other_grant() public {
        register();
        no(revokeCall(OTHER, t.grantId), GrantRegistry.NotCustodian.selector);
        no(suspendCall(OTHER, true, 1), GrantRegistry.NotRegulator.selector);
    }

    // one key in two places

    function test_one_passkey_in_two_accounts_fills_one_slot() public {
        PasskeyAccount office = passkeys();
        PasskeyAccount hospital = passkeys();
        registry = new GrantRegistry(vm.addr(ADMIN), one(address(office)), "space");
        uint48 by = uint48(block.timestamp + 1 days);
        GrantRegistry.Approval memory a = GrantRegistry.Approval(address(office), "nonce", by, "");
        GrantRegistry.Consent memory c =
            GrantRegistry.Consent(address(hospital), "nonce", by, vm.addr(SERVICE), "");
        bytes memory approves = passkeySigned(approvalOf(t, address(office), "nonce", by, address(hospital)));
        bytes memory consents = passkeySigned(consentOf(t, address(hospital), "nonce", by, vm.addr(SERVICE)));
        (a.signature, c.signature) = (approves, approves);
        no(registerCall(a, c), SpaceDomain.BadSigner.selector);
        (a.signature, c.signature) = (consents, consents);
        no(registerCall(a, c), SpaceDomain.BadSigner.selector);
        (a.signature, c.signature) = (consents, approves);
        no(registerCall(a, c), SpaceDomain.BadSigner.selector);
        (a.signature, c.signature) = (approves, consents);
        accepted(address(registry), registerCall(a, c));
        check(active(), "signed twice, each for its slot");
    }

    function passkeys() private returns (PasskeyAccount) {
        PasskeyAccount.Key[] memory keys = new PasskeyAccount.Key[](2);
        (keys[0].x, keys[0].y) = coordinates(0xA1);
        (keys[1].x, keys[1].y) = coordinates(0xA2);
        (keys[0].origin, keys[1].origin) = (ORIGIN, ORIGIN);
        return new PasskeyAccount(address(0), true, 2 days, keys, "space");
    }

    function passkeySigned(bytes memory encoded) private view returns (bytes memory) {
        return abi.encode(assertion(0xA1, digest(registry, encoded)));
    }

    // taking back

    function cancelCall(uint256 key) private view returns (bytes memory) {
        bytes memory s = signed(key, registry, cancellationOf(t.grantId, "nonce", vm.addr(key)));
        return abi.encodeCall(registry.cancel, (t.grantId, "nonce", vm.addr(key), s));
    }

    function test_what_is_cancelled_registers_nothing() public {
        accepted(address(registry), cancelCall(CUSTODIAN));
        no(registerCall(approval(REGULATOR), consent(CUSTODIAN)), GrantRegistry.AlreadyCancelled.selector);
        GrantRegistry.Consent memory c = consent(CUSTODIAN);
        c.nonce = "anew";
        c.signature = signed(CUSTODIAN, registry, consentOf(t, c.decider, c.nonce, c.signBy, c.service));
        accepted(address(registry), registerCall(approval(REGULATOR), c));
        no(cancelCall(REGULATOR), GrantRegistry.Exists.selector);
    }

    function test_nobody_cancels_for_another() public {
        bytes memory s = signed(OTHER, registry, cancellationOf(t.grantId, "nonce", vm.addr(REGULATOR)));
        no(
            abi.encodeCall(registry.cancel, (t.grantId, "nonce", vm.addr(REGULATOR), s)),
            SpaceDomain.BadSigner.selector
        );
        accepted(address(registry), cancelCall(OTHER));
        register();
    }

    function test_revoked_before_it_was_registered() public {
        accepted(address(registry), revokeCall(REGULATOR, t.grantId));
        check(registry.isRevoked(t.grantId), "barred");
        no(registerCall(approval(REGULATOR), consent(CUSTODIAN)), GrantRegistry.AlreadyRevoked.selector);
        t.grantId = "second";
        accepted(address(registry), revokeCall(CUSTODIAN, t.grantId));
        no(registerCall(approval(REGULATOR), consent(CUSTODIAN)), GrantRegistry.AlreadyRevoked.selector);
    }

    function test_suspended_while_either_side_holds_it() public {
        register();
        accepted(address(registry), suspendCall(CUSTODIAN, true, 5));
        accepted(address(registry), suspendCall(REGULATOR, true, 9));
        check(!active(), "held by both");
        accepted(address(registry), suspendCall(REGULATOR, false, 10));
        check(!active(), "held by the custodian");
        no(consumeCall(SERVICE, "job"), GrantRegistry.NotActive.selector);
        accepted(address(registry), suspendCall(CUSTODIAN, false, 6));
        check(active(), "held by nobody");
        no(suspendCall(REGULATOR, true, 9), GrantRegistry.StaleNumber.selector);
        no(suspendCall(REGULATOR, true, 10), GrantRegistry.StaleNumber.selector);
        no(suspendCall(REGULATOR, true, uint64((START + 2 days) * 1000)), GrantRegistry.StaleNumber.selector);
    }

    function test_a_custodian_that_became_a_regulator_speaks_for_one_side() public {
        register();
        giveRole(vm.addr(CUSTODIAN));
        accepted(address(registry), suspendCall(CUSTODIAN, true, 1));
        GrantRegistry.Grant memory g = registry.grants(t.grantId);
        check(g.suspendedByCustodian && !g.suspendedByRegulator, "its own side");
    }

    function giveRole(address who) private {
        bytes32 role = registry.REGULATOR_ROLE();
        vm.prank(vm.addr(ADMIN));
        registry.scheduleRole(role, who);
        vm.warp(block.timestamp + 1 days);
        vm.prank(vm.addr(ADMIN));
        registry.grantRole(role, who);
    }

    /// Documented in GrantRegistry: a change of staff switches nothing off.
    function test_a_regulator_who_left_leaves_the_grants_standing() public {
        register();
        bytes32 role = registry.REGULATOR_ROLE();
        vm.prank(vm.addr(ADMIN));
        registry.revokeRole(role, vm.addr(REGULATOR));
        check(active(), "still active");
        no(revokeCall(REGULATOR, t.grantId), GrantRegistry.NotCustodian.selector);
        GrantRegistry.Approval memory late = approval(REGULATOR);
        t.grantId = "second";
        no(registerCall(late, consent(CUSTODIAN)), GrantRegistry.NotRegulator.selector);
        giveRole(vm.addr(OTHER));
        t.grantId = "grant";
        accepted(address(registry), revokeCall(OTHER, t.grantId));
        check(!active(), "any other regulator ends it");
    }

    // fuzz

    /// Every field of the terms, and what stands beside them, is under both signatures.
    function testFuzz_altered_terms_are_refused(uint256 which, uint256 value) public {
        GrantRegistry.Approval memory a = approval(REGULATOR);
        GrantRegistry.Consent memory c = consent(CUSTODIAN);
        bytes32 before = keccak256(abi.encode(t, a.signBy, c.signBy, a.nonce, c.nonce, c.service));
        which = which % 11;
        if (which == 0) t.grantId = bytes32(value);
        else if (which == 1) t.termsHash = bytes32(value);
        else if (which == 2) t.datasetId = bytes32(value);
        else if (which == 3) t.purpose = bytes32(value);
        else if (which == 4) t.grantee = address(uint160(value));
        else if (which == 5) t.notBefore = uint48(value);
        else if (which == 6) t.notAfter = uint48(value);
        else if (which == 7) t.maxUses = uint32(value);
        else if (which == 8) a.signBy = uint48(value);
        else if (which == 9) c.nonce = bytes32(value);
        else c.service = address(uint160(value));
        vm.assume(before != keccak256(abi.encode(t, a.signBy, c.signBy, a.nonce, c.nonce, c.service)));
        (bool done,) = address(registry).call(registerCall(a, c));
        check(!done, "altered terms were registered");
        check(registry.ownerOf(t.datasetId) == address(0), "and left something behind");
    }

    function testFuzz_periods_are_bounded(uint48 notBefore, uint48 notAfter) public {
        t.notBefore = notBefore;
        t.notAfter = notAfter;
        (bool done,) = address(registry).call(registerCall(approval(REGULATOR), consent(CUSTODIAN)));
        bool sensible = notAfter > notBefore && notAfter > START && notAfter - notBefore <= 3660 days
            && notAfter <= START + 3660 days;
        check(done == sensible, "another rule of periods");
    }

    function testFuzz_signatures_are_used_in_time(uint48 wait) public {
        GrantRegistry.Approval memory a = approval(REGULATOR);
        GrantRegistry.Consent memory c = consent(CUSTODIAN);
        vm.warp(START + wait % 10 days);
        (bool done,) = address(registry).call(registerCall(a, c));
        check(done == (wait % 10 days <= 1 days), "another rule of sign-by");
    }
}
