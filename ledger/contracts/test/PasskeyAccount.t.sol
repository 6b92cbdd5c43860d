// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Passkey} from "../Passkey.sol";
import {PasskeyAccount} from "../PasskeyAccount.sol";
import {SpaceDomain} from "../SpaceDomain.sol";
import {Signing} from "./Signing.sol";

/// The keys of one account: H is the owner's, T the one that a thief took, and nobody else has a say.
contract PasskeyAccountTest is Signing {
    uint256 private constant H = 0xA1;
    uint256 private constant T = 0xA2;
    uint256 private constant FRESH = 0xA3;
    uint256 private constant THIEFS = 0xA4;
    uint256 private constant GUARDIAN = 0xB1;
    PasskeyAccount private account;

    function setUp() public {
        vm.warp(START);
        account = new PasskeyAccount(vm.addr(GUARDIAN), true, 2 days, two(H, T), "space");
    }

    function shown(uint256 key) private pure returns (PasskeyAccount.Key memory k) {
        (k.x, k.y) = coordinates(key);
        k.origin = ORIGIN;
    }

    function two(uint256 a, uint256 b) private pure returns (PasskeyAccount.Key[] memory keys) {
        keys = new PasskeyAccount.Key[](2);
        keys[0] = shown(a);
        keys[1] = shown(b);
    }

    function id(uint256 key) private pure returns (bytes32) {
        (bytes32 x, bytes32 y) = coordinates(key);
        return keccak256(abi.encode(x, y));
    }

    function has(uint256 key) private view returns (bool) {
        return account.isEnrolled(id(key));
    }

    // messages, written out a second time

    function enrolDigest(uint256 fresh, uint64 number, bytes32 by) private view returns (bytes32) {
        return digest(
            account,
            abi.encode(
                keccak256("Enrol(bytes32 keyId,bytes32 originHash,uint64 number,bytes32 by)"),
                id(fresh),
                keccak256(bytes(ORIGIN)),
                number,
                by
            )
        );
    }

    function removal(uint256 target, uint64 number, bytes32 by) private pure returns (bytes memory) {
        return abi.encode(keccak256("Remove(bytes32 keyId,uint64 number,bytes32 by)"), id(target), number, by);
    }

    function refusal(bool byGuardian, uint64 number, bytes32 by) private pure returns (bytes memory) {
        return abi.encode(keccak256("Veto(bool byGuardian,uint64 number,bytes32 by)"), byGuardian, number, by);
    }

    // calls

    function enrolCall(uint256 by, uint256 fresh, uint64 number) private view returns (bytes memory) {
        bytes32 d = enrolDigest(fresh, number, id(by));
        return abi.encodeCall(account.enrol, (shown(fresh), number, assertion(by, d), assertion(fresh, d)));
    }

    function removeCall(uint256 by, uint256 target, uint64 number) private view returns (bytes memory) {
        bytes32 d = digest(account, removal(target, number, id(by)));
        return abi.encodeCall(account.remove, (id(target), number, assertion(by, d)));
    }

    function vetoCall(uint256 by, bool byGuardian, uint64 number) private view returns (bytes memory) {
        bytes32 d = digest(account, refusal(byGuardian, number, id(by)));
        return abi.encodeCall(account.veto, (byGuardian, number, assertion(by, d)));
    }

    function guardianRemoveCall(uint256 target, uint64 number) private view returns (bytes memory) {
        bytes memory s = signed(GUARDIAN, account, removal(target, number, 0));
        return abi.encodeCall(account.removeByGuardian, (id(target), number, s));
    }

    function guardianEnrolCall(uint256 fresh, uint64 number) private view returns (bytes memory) {
        bytes32 d = enrolDigest(fresh, number, 0);
        bytes memory encoded = abi.encode(
            keccak256("Enrol(bytes32 keyId,bytes32 originHash,uint64 number,bytes32 by)"),
            id(fresh),
            keccak256(bytes(ORIGIN)),
            number,
            bytes32(0)
        );
        return abi.encodeCall(
            account.enrolByGuardian, (shown(fresh), number, signed(GUARDIAN, account, encoded), assertion(fresh, d))
        );
    }

    function finishCall(bool byGuardian, uint64 number) private view returns (bytes memory) {
        return abi.encodeCall(account.finish, (byGuardian, number));
    }

    function ok(bytes memory data) private {
        accepted(address(account), data);
    }

    function no(bytes memory data, bytes4 error) private {
        refused(address(account), data, error);
    }

    function later() private {
        vm.warp(block.timestamp + 2 days);
    }

    // what holds

    function test_it_works() public {
        ok(enrolCall(H, FRESH, 1));
        check(!has(FRESH), "only after the delay");
        no(finishCall(false, 1), PasskeyAccount.NotRipe.selector);
        later();
        ok(finishCall(false, 1));
        check(has(FRESH) && has(H) && has(T), "three keys");
        bytes32 d = keccak256("a decision");
        check(account.isValidSignature(d, abi.encode(assertion(FRESH, d))) == bytes4(0x1626ba7e), "it speaks");
        ok(removeCall(FRESH, FRESH, 2));
        check(!has(FRESH), "a key leaves at once by its own signature");
        check(account.isValidSignature(d, abi.encode(assertion(FRESH, d))) == bytes4(0xffffffff), "and is silent");
        (bytes32[] memory ids, string[] memory origins) = account.enrolled();
        check(ids.length == 2 && keccak256(bytes(origins[1])) == keccak256(bytes(ORIGIN)), "what is shown");
    }

    function test_two_keys_from_the_first_day() public {
        PasskeyAccount.Key[] memory single = new PasskeyAccount.Key[](1);
        single[0] = shown(H);
        try new PasskeyAccount(address(0), true, 2 days, single, "") {
            check(false, "one key");
        } catch {}
        try new PasskeyAccount(address(0), true, 2 days, two(H, H), "") {
            check(false, "the same key twice");
        } catch {}
        PasskeyAccount.Key[] memory bad = two(H, T);
        bad[1].y = bytes32(uint256(bad[1].y) ^ 1);
        try new PasskeyAccount(address(0), true, 2 days, bad, "") {
            check(false, "off the curve");
        } catch {}
        try new PasskeyAccount(address(0), true, 0, two(H, T), "") {
            check(false, "no delay");
        } catch {}
        try new PasskeyAccount(address(0), true, 31 days, two(H, T), "") {
            check(false, "an endless delay");
        } catch {}
    }

    function test_a_stolen_key_does_not_evict_the_other() public {
        ok(removeCall(T, H, 1));
        ok(vetoCall(H, false, 1)); // also the one that is to go may refuse
        later();
        no(finishCall(false, 1), PasskeyAccount.NoChange.selector);
        no(vetoCall(H, false, 1), PasskeyAccount.NoChange.selector);
        no(removeCall(T, H, 1), PasskeyAccount.StaleNumber.selector); // the same bytes again
        check(has(H) && has(T), "both stay");
        ok(removeCall(T, H, 2));
        ok(abi.encodeCall(account.vetoByGuardian, (false, 2, signed(GUARDIAN, account, refusal(false, 2, 0)))));
        check(has(H), "nor when the owner sleeps and the guardian wakes");
    }

    function test_a_thief_digs_in_neither() public {
        ok(enrolCall(T, THIEFS, 1));
        ok(vetoCall(H, false, 1));
        later();
        no(finishCall(false, 1), PasskeyAccount.NoChange.selector);
        check(!has(THIEFS), "no key of the thief's");
    }

    function test_the_guardian_removes_the_thief() public {
        ok(guardianRemoveCall(T, 1));
        no(vetoCall(T, true, 1), PasskeyAccount.MayNotVeto.selector);
        no(vetoCall(THIEFS, true, 1), PasskeyAccount.BadAssertion.selector);
        ok(removeCall(T, H, 1)); // meanwhile the thief tries, in the other slot
        ok(vetoCall(H, false, 1));
        later();
        ok(finishCall(true, 1));
        check(has(H) && !has(T), "the thief is out");
        no(guardianRemoveCall(H, 2), PasskeyAccount.BadKey.selector); // the last one stays
    }

    function test_the_guardian_alone_gets_nowhere() public {
        ok(guardianEnrolCall(THIEFS, 1));
        ok(vetoCall(H, true, 1));
        later();
        no(finishCall(true, 1), PasskeyAccount.NoChange.selector);
        ok(guardianRemoveCall(H, 2));
        ok(vetoCall(T, true, 2));
        check(has(H) && has(T) && !has(THIEFS), "nothing changed");
        bytes32 d = keccak256("a decision");
        check(
            account.isValidSignature(d, abi.encode(assertion(GUARDIAN, d))) == bytes4(0xffffffff), "it never speaks"
        );
    }

    function test_recovery_of_who_lost_every_key() public {
        ok(guardianEnrolCall(FRESH, 1));
        later();
        ok(finishCall(true, 1));
        ok(guardianRemoveCall(H, 2));
        later();
        ok(finishCall(true, 2));
        check(has(FRESH) && !has(H) && has(T), "recovered");
    }

    function test_the_guardian_takes_back_its_own() public {
        ok(guardianEnrolCall(FRESH, 1));
        ok(abi.encodeCall(account.vetoByGuardian, (true, 1, signed(GUARDIAN, account, refusal(true, 1, 0)))));
        later();
        no(finishCall(true, 1), PasskeyAccount.NoChange.selector);
    }

    function test_a_new_key_shows_that_it_is_there() public {
        bytes32 d = enrolDigest(FRESH, 1, id(H));
        bytes memory asked =
            abi.encodeCall(account.enrol, (shown(FRESH), 1, assertion(H, d), assertion(THIEFS, d)));
        no(asked, PasskeyAccount.BadAssertion.selector);
        asked = abi.encodeCall(account.enrol, (shown(FRESH), 1, assertion(H, d), assertion(H, d)));
        no(asked, PasskeyAccount.BadAssertion.selector); // one signature never fills both slots
        asked = abi.encodeCall(account.enrol, (shown(FRESH), 1, assertion(FRESH, d), assertion(FRESH, d)));
        no(asked, PasskeyAccount.BadAssertion.selector); // nor does the new key allow itself
        no(enrolCall(H, T, 1), PasskeyAccount.BadKey.selector);
    }

    function test_only_enrolled_keys_propose_and_veto() public {
        no(enrolCall(THIEFS, FRESH, 1), PasskeyAccount.BadAssertion.selector);
        no(removeCall(THIEFS, H, 1), PasskeyAccount.BadAssertion.selector);
        ok(removeCall(H, T, 1));
        no(vetoCall(THIEFS, false, 1), PasskeyAccount.BadAssertion.selector);
        no(removeCall(H, T, 2), PasskeyAccount.ChangePending.selector);
        bytes memory stranger = signed(THIEFS, account, removal(T, 1, 0));
        no(abi.encodeCall(account.removeByGuardian, (id(T), 1, stranger)), SpaceDomain.BadSigner.selector);
    }

    function test_what_a_removed_key_proposed_lapses() public {
        ok(removeCall(T, H, 1));
        ok(removeCall(T, T, 2)); // the thief walks out
        later();
        ok(finishCall(false, 1));
        check(has(H) && !has(T), "the owner's key is still there");
    }

    function test_a_key_that_a_removed_key_proposed_lapses_too() public {
        ok(guardianEnrolCall(FRESH, 1));
        later();
        ok(finishCall(true, 1));
        ok(enrolCall(T, THIEFS, 1));
        ok(guardianRemoveCall(T, 2));
        later();
        ok(finishCall(true, 2)); // the guardian's change is done before the thief's
        ok(finishCall(false, 1));
        check(has(H) && has(FRESH) && !has(T) && !has(THIEFS), "nothing of the thief's is left");
    }

    function test_another_accounts_messages_say_nothing_here() public {
        PasskeyAccount here = account;
        account = new PasskeyAccount(vm.addr(GUARDIAN), true, 2 days, two(H, T), "space");
        bytes memory elsewhere = removeCall(H, T, 1);
        account = here;
        no(elsewhere, PasskeyAccount.BadAssertion.selector);
    }

    function test_no_more_keys_than_eight() public {
        for (uint64 n = 1; n <= 6; n++) {
            ok(enrolCall(H, 0xC0 + n, n));
            later();
            ok(finishCall(false, n));
        }
        no(enrolCall(H, 0xCF, 7), PasskeyAccount.BadKey.selector);
    }

    /// A thief with one key, whatever it does and in whatever order, while the owner answers each proposal in time.
    /// forge-config: default.fuzz.runs = 12
    function testFuzz_one_stolen_key_changes_nothing(uint256 seed) public {
        for (uint256 i = 0; i < 4; i++) {
            uint64 number = account.changes(false) + 1;
            uint256 what = uint256(keccak256(abi.encode(seed, i))) % 3;
            if (what == 0) ok(removeCall(T, H, number));
            else if (what == 1) ok(enrolCall(T, THIEFS, number));
            if (what < 2) ok(vetoCall(H, false, number));
            later();
            no(finishCall(false, number), PasskeyAccount.NoChange.selector);
            check(has(H) && has(T) && !has(THIEFS), "the keys changed");
        }
    }
}
