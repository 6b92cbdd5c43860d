// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ParticipantRegistry} from "../ParticipantRegistry.sol";
import {SpaceDomain} from "../SpaceDomain.sol";
import {Signing} from "./Signing.sol";

/// Whose keys stand behind a participant's name: what the operator, one regulator's key, or the holder's can do alone.
contract ParticipantsTest is Signing {
    uint256 internal constant ADMIN = 0x11;
    uint256 internal constant REGULATOR = 0x12;
    uint256 internal constant COLLEAGUE = 0x13;
    uint256 internal constant HOLDER = 0x14;
    uint256 internal constant NEXT = 0x15;
    uint256 internal constant THIEF = 0x16;
    uint48 internal constant DELAY = 2 days;
    bytes32 internal constant HOSPITAL = "hospital";
    ParticipantRegistry internal registry;

    function setUp() public virtual {
        vm.warp(START);
        address[] memory regulators = new address[](2);
        (regulators[0], regulators[1]) = (vm.addr(REGULATOR), vm.addr(COLLEAGUE));
        registry = new ParticipantRegistry(vm.addr(ADMIN), regulators, DELAY, "space");
    }

    function record(bytes32 content, uint64 number, uint256 controller)
        internal
        pure
        returns (ParticipantRegistry.Record memory)
    {
        return ParticipantRegistry.Record(HOSPITAL, content, number, vm.addr(controller));
    }

    /// former 0: no handover
    function putCall(ParticipantRegistry.Record memory r, uint256 decider, uint256 controller, uint256 former)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            registry.put,
            (
                r,
                decided("Record", r, decider),
                accepts(r, controller),
                former == 0 ? bytes("") : says("Handover", r, former)
            )
        );
    }

    function says(string memory kind, ParticipantRegistry.Record memory r, uint256 key)
        internal
        view
        returns (bytes memory)
    {
        return signed(key, registry, recordOf(kind, r, vm.addr(key)));
    }

    function decided(string memory kind, ParticipantRegistry.Record memory r, uint256 key)
        internal
        view
        returns (ParticipantRegistry.Decision memory)
    {
        return ParticipantRegistry.Decision(vm.addr(key), SIGN_BY, says(kind, r, key));
    }

    function accepts(ParticipantRegistry.Record memory r, uint256 key) internal view returns (bytes memory) {
        return signed(key, registry, controlOf(r));
    }

    function proposeCall(ParticipantRegistry.Record memory r, uint256 decider, uint256 controller, string memory kind)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            registry.propose,
            (
                r,
                decided(kind, r, decider),
                accepts(r, controller)
            )
        );
    }

    function vetoCall(ParticipantRegistry.Record memory r, uint256 by) internal view returns (bytes memory) {
        bytes memory s = says("Veto", r, by);
        return abi.encodeCall(registry.veto, (HOSPITAL, r.number, vm.addr(by), s));
    }

    function suspendCall(uint256 by, bool on, uint64 number) internal view returns (bytes memory) {
        bytes memory typed = abi.encode(
            keccak256("Suspension(bytes32 participantId,bool suspended,uint64 number,address decider)"),
            HOSPITAL,
            on,
            number,
            vm.addr(by)
        );
        return abi.encodeCall(registry.suspend, (HOSPITAL, on, number, vm.addr(by), signed(by, registry, typed)));
    }

    function ok(bytes memory data) internal {
        accepted(address(registry), data);
    }

    function no(bytes memory data, bytes4 error) internal {
        refused(address(registry), data, error);
    }

    function held() internal view returns (bytes32 content, uint64 number, address controller) {
        (content, number, controller,) = registry.recordOf(HOSPITAL);
    }

    function stands(bytes32 content, uint256 controller) internal view {
        (bytes32 now_,, address who) = held();
        check(now_ == content && who == vm.addr(controller), "another record stands");
    }

    function first() internal {
        ok(putCall(record("one", 1, HOLDER), REGULATOR, HOLDER, 0));
    }

    function test_it_works() public {
        first();
        stands("one", HOLDER);
        ok(putCall(record("one", 1, HOLDER), REGULATOR, HOLDER, 0)); // again: no error
        ok(putCall(record("two", 2, HOLDER), REGULATOR, HOLDER, 0));
        ok(putCall(record("three", 3, NEXT), REGULATOR, NEXT, HOLDER));
        stands("three", NEXT);
        no(putCall(record("two", 2, HOLDER), REGULATOR, HOLDER, 0), ParticipantRegistry.StaleNumber.selector);
        no(putCall(record("far", 1004, NEXT), REGULATOR, NEXT, 0), ParticipantRegistry.StaleNumber.selector);
    }

    function test_the_operator_admits_nobody() public {
        no(putCall(record("one", 1, THIEF), THIEF, THIEF, 0), ParticipantRegistry.NotRegulator.selector);
        first();
        no(putCall(record("x", 2, THIEF), THIEF, THIEF, HOLDER), ParticipantRegistry.NotRegulator.selector);
        no(
            proposeCall(record("x", 2, THIEF), THIEF, THIEF, "Proposal"), ParticipantRegistry.NotRegulator.selector
        );
        no(suspendCall(THIEF, true, 1), ParticipantRegistry.NotRegulator.selector);
        bytes4 stranger = bytes4(keccak256("AccessControlUnauthorizedAccount(address,bytes32)"));
        bytes32 role = registry.REGULATOR_ROLE();
        no(abi.encodeCall(registry.grantRole, (role, vm.addr(THIEF))), stranger);
        check(!registry.hasRole(0x00, address(this)) && !registry.hasRole(role, address(this)), "the deployer");
    }

    function test_a_regulators_key_alone_swaps_nothing() public {
        first();
        no(putCall(record("x", 2, THIEF), REGULATOR, THIEF, 0), SpaceDomain.BadSigner.selector);
        no(putCall(record("x", 2, THIEF), REGULATOR, THIEF, THIEF), SpaceDomain.BadSigner.selector);
        no(putCall(record("x", 2, HOLDER), REGULATOR, THIEF, 0), SpaceDomain.BadSigner.selector);
        ParticipantRegistry.Record memory r = record("x", 2, THIEF);
        ok(proposeCall(r, REGULATOR, THIEF, "Proposal"));
        stands("one", HOLDER);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.NotRipe.selector);
        ok(vetoCall(r, HOLDER));
        no(proposeCall(r, REGULATOR, THIEF, "Proposal"), ParticipantRegistry.Burned.selector);
        vm.warp(block.timestamp + DELAY);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.NoProposal.selector);
        stands("one", HOLDER);
    }

    function test_while_the_holder_sleeps_a_colleague_vetoes() public {
        first();
        ParticipantRegistry.Record memory r = record("x", 2, THIEF);
        ok(proposeCall(r, REGULATOR, THIEF, "Proposal"));
        no(vetoCall(r, THIEF), ParticipantRegistry.NotController.selector);
        ok(vetoCall(r, COLLEAGUE));
        stands("one", HOLDER);
    }

    function test_what_a_dismissed_regulator_proposed_lapses() public {
        first();
        ok(proposeCall(record("x", 2, THIEF), REGULATOR, THIEF, "Proposal"));
        bytes32 role = registry.REGULATOR_ROLE();
        vm.prank(vm.addr(ADMIN));
        registry.revokeRole(role, vm.addr(REGULATOR));
        vm.warp(block.timestamp + DELAY);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.NotRegulator.selector);
        stands("one", HOLDER);
        ok(vetoCall(record("x", 2, THIEF), COLLEAGUE)); // and makes room
        ok(proposeCall(record("y", 2, NEXT), COLLEAGUE, NEXT, "Proposal"));
    }

    function test_a_dead_proposal_makes_room_for_another() public {
        first();
        ok(proposeCall(record("x", 2, THIEF), REGULATOR, THIEF, "Proposal"));
        no(proposeCall(record("y", 3, NEXT), COLLEAGUE, NEXT, "Proposal"), ParticipantRegistry.ProposalPending.selector);
        vm.warp(block.timestamp + DELAY + registry.LAPSES_AFTER());
        no(proposeCall(record("y", 3, NEXT), COLLEAGUE, NEXT, "Proposal"), ParticipantRegistry.ProposalPending.selector);
        vm.warp(block.timestamp + 1);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.Lapsed.selector);
        ok(proposeCall(record("y", 3, NEXT), COLLEAGUE, NEXT, "Proposal"));
        check(registry.proposalOf(HOSPITAL).number == 3, "replaced");
        bytes32 role = registry.REGULATOR_ROLE();
        vm.prank(vm.addr(ADMIN));
        registry.revokeRole(role, vm.addr(COLLEAGUE));
        no(proposeCall(record("x", 2, THIEF), REGULATOR, THIEF, "Proposal"), ParticipantRegistry.Burned.selector);
        ok(proposeCall(record("z", 4, NEXT), REGULATOR, NEXT, "Proposal")); // at once: who proposed it was dismissed
        vm.warp(block.timestamp + DELAY);
        ok(abi.encodeCall(registry.finish, (HOSPITAL)));
        stands("z", NEXT);
    }

    /// What a regulator signed and nobody relayed does not lie about for ever.
    function test_what_was_signed_lapses() public {
        first();
        vm.warp(SIGN_BY + 1);
        ParticipantRegistry.Record memory r = record("two", 2, NEXT);
        no(putCall(r, REGULATOR, NEXT, HOLDER), ParticipantRegistry.SignedTooLate.selector);
        no(proposeCall(r, REGULATOR, NEXT, "Proposal"), ParticipantRegistry.SignedTooLate.selector);
        ok(putCall(record("one", 1, HOLDER), REGULATOR, HOLDER, 0)); // what stands may be repeated
        uint48 far = uint48(block.timestamp + registry.LONGEST_SIGNING() + 1);
        bytes memory long = signed(REGULATOR, registry, decisionOf("Record", r, vm.addr(REGULATOR), far));
        ParticipantRegistry.Decision memory d = ParticipantRegistry.Decision(vm.addr(REGULATOR), far, long);
        bytes memory handed = says("Handover", r, HOLDER);
        no(abi.encodeCall(registry.put, (r, d, accepts(r, NEXT), handed)), ParticipantRegistry.BadRecord.selector);
        d.signBy = uint48(block.timestamp); // nor is the date anybody's to change
        no(abi.encodeCall(registry.put, (r, d, accepts(r, NEXT), handed)), SpaceDomain.BadSigner.selector);
    }

    function test_the_holders_key_alone_changes_nothing() public {
        first();
        no(putCall(record("x", 2, HOLDER), HOLDER, HOLDER, 0), ParticipantRegistry.NotRegulator.selector);
        no(putCall(record("x", 2, NEXT), HOLDER, NEXT, HOLDER), ParticipantRegistry.NotRegulator.selector);
        no(
            proposeCall(record("x", 2, NEXT), HOLDER, NEXT, "Proposal"), ParticipantRegistry.NotRegulator.selector
        );
    }

    function test_a_lost_key_is_replaced() public {
        first();
        ok(proposeCall(record("two", 2, NEXT), REGULATOR, NEXT, "Proposal"));
        vm.warp(block.timestamp + DELAY);
        ok(abi.encodeCall(registry.finish, (HOSPITAL)));
        stands("two", NEXT);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.NoProposal.selector);
    }

    function test_each_slot_has_its_own_message() public {
        first();
        ParticipantRegistry.Record memory r = record("two", 2, NEXT);
        no(proposeCall(r, REGULATOR, NEXT, "Record"), SpaceDomain.BadSigner.selector);
        bytes memory asked = abi.encodeCall(
            registry.put,
            (
                r,
                decided("Proposal", r, REGULATOR),
                accepts(r, NEXT),
                says("Handover", r, HOLDER)
            )
        );
        no(asked, SpaceDomain.BadSigner.selector);
        asked = abi.encodeCall(
            registry.put,
            (
                r,
                decided("Record", r, REGULATOR),
                accepts(r, NEXT),
                accepts(r, HOLDER) // the holder accepted to be asked, and did not hand over
            )
        );
        no(asked, SpaceDomain.BadSigner.selector);
    }

    function test_a_rotation_in_agreement_ends_a_proposal() public {
        first();
        ok(proposeCall(record("x", 3, THIEF), REGULATOR, THIEF, "Proposal"));
        ok(putCall(record("two", 2, NEXT), REGULATOR, NEXT, HOLDER));
        check(registry.proposalOf(HOSPITAL).number == 0, "dropped");
        no(proposeCall(record("x", 3, THIEF), REGULATOR, THIEF, "Proposal"), ParticipantRegistry.Burned.selector);
        vm.warp(block.timestamp + DELAY);
        no(abi.encodeCall(registry.finish, (HOSPITAL)), ParticipantRegistry.NoProposal.selector);
        stands("two", NEXT);
    }

    function test_suspended_and_restored() public {
        no(suspendCall(REGULATOR, true, 1), ParticipantRegistry.NotRegistered.selector);
        first();
        ok(suspendCall(REGULATOR, true, 7));
        (,,, bool on) = registry.recordOf(HOSPITAL);
        check(on, "suspended");
        no(suspendCall(HOLDER, false, 8), ParticipantRegistry.NotRegulator.selector);
        ok(suspendCall(COLLEAGUE, false, 8));
        no(suspendCall(REGULATOR, true, 7), ParticipantRegistry.StaleNumber.selector);
        no(suspendCall(REGULATOR, true, uint64((START + 2 days) * 1000)), ParticipantRegistry.StaleNumber.selector);
    }

    function test_the_delay_is_bounded() public {
        for (uint256 i = 0; i < 2; i++) {
            try new ParticipantRegistry(vm.addr(ADMIN), one(vm.addr(REGULATOR)), i == 0 ? 0 : 31 days, "") {
                check(false, "a senseless delay");
            } catch {}
        }
    }

    /// No signature but the holder's hands over, whoever signs whatever.
    function testFuzz_no_other_key_hands_over(uint256 key, uint64 number) public {
        first();
        key = key % (2 ** 200) + 1;
        vm.assume(key != HOLDER);
        number = 2 + number % 999;
        no(putCall(record("x", number, NEXT), REGULATOR, NEXT, key), SpaceDomain.BadSigner.selector);
        stands("one", HOLDER);
    }
}
