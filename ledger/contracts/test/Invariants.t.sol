// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Anchor} from "../Anchor.sol";
import {GrantRegistry} from "../GrantRegistry.sol";
import {Rfc6962} from "../Rfc6962.sol";
import {Check} from "./Vm.sol";
import {Signing} from "./Signing.sol";

/// Anchors whatever comes: true continuations, rewritten leaves, wrong sizes, wrong proofs.
contract Anchorer is Check {
    Anchor public anchor = new Anchor(address(0xAD), address(this));
    bytes32 public constant LOG = "log";
    uint64 public size;
    bytes32[33] public seen; // the root first found for each size

    function leaf(uint64 index, uint256 fork) private pure returns (bytes32) {
        return keccak256(abi.encode(index, fork != 0 && index < 2 ? fork : 0));
    }

    function root(uint64 from, uint64 to, uint256 fork) private pure returns (bytes32) {
        if (to - from == 1) return leaf(from, fork);
        uint64 k = split(to - from);
        return Rfc6962.node(root(from, from + k, fork), root(from + k, to, fork));
    }

    function split(uint64 n) private pure returns (uint64 k) {
        for (k = 1; k * 2 < n; k *= 2) {}
    }

    /// RFC 6962 section 2.1.2, by its own recursive definition
    function proof(uint64 m, uint64 from, uint64 to, bool whole, uint256 fork)
        private
        pure
        returns (bytes32[] memory path)
    {
        if (m == to - from) {
            path = new bytes32[](whole ? 0 : 1);
            if (!whole) path[0] = root(from, to, fork);
            return path;
        }
        uint64 k = split(to - from);
        bytes32[] memory rest =
            m <= k ? proof(m, from, from + k, whole, fork) : proof(m - k, from + k, to, false, fork);
        path = new bytes32[](rest.length + 1);
        for (uint256 i = 0; i < rest.length; i++) {
            path[i] = rest[i];
        }
        path[rest.length] = m <= k ? root(from + k, to, fork) : root(from, from + k, fork);
    }

    function grow(uint64 by, uint256 fork, uint64 lie) external {
        uint64 prev = lie % 5 == 0 ? lie % 33 : size;
        uint64 next = prev + by % 9;
        if (next > 32 || prev > next) return;
        fork = fork % 3;
        bytes32[] memory path = prev > 0 && prev < next ? proof(prev, 0, next, true, fork) : new bytes32[](0);
        bytes32 given = next == 0 ? bytes32("root") : root(0, next, fork);
        (bool done,) = address(anchor).call(abi.encodeCall(anchor.anchor, (LOG, prev, next, given, path)));
        if (!done) return;
        if (seen[next] == 0) seen[next] = anchor.rootAt(LOG, next);
        (, uint64 now_,,) = anchor.heads(LOG);
        check(now_ >= size, "the log shrank");
        size = now_;
    }

    function junk(uint64 prev, uint64 next, bytes32 given, bytes32[] calldata path) external {
        if (size == 0) return; // the first root of a log is whatever its operator says
        (bool done,) = address(anchor).call(abi.encodeCall(anchor.anchor, (LOG, prev, next, given, path)));
        (, uint64 now_,,) = anchor.heads(LOG);
        check(!done && now_ == size, "junk was anchored");
    }
}

/// Two grants: every message about them, by a regulator and two hospitals, in any order.
contract Grantor is Signing {
    uint256 private constant REGULATOR = 0x12;
    uint256 private constant CUSTODIAN = 0x13; // 0x14, of another hospital, is never asked by name
    uint32 public constant USES = 2;
    GrantRegistry public registry = new GrantRegistry(address(0xAD), one(vm.addr(REGULATOR)), "space");
    mapping(bytes32 => bool) public gone;
    mapping(bytes32 => uint256) public counted;
    mapping(bytes32 => uint64) public numbers;
    mapping(bytes32 => address) public owners;

    constructor() {
        vm.warp(START);
    }

    function key(uint256 seed) private pure returns (uint256) {
        return REGULATOR + seed % 3;
    }

    function idOf(uint256 seed) public pure returns (bytes32) {
        return bytes32(seed % 2 + 1);
    }

    function send(bytes memory data) private returns (bool done) {
        (done,) = address(registry).call(data);
    }

    /// Mostly by whom it takes, so that the histories get somewhere.
    function register(uint256 which, uint256 a, uint256 c, uint256 nonce) external {
        (a, c) = (a % 4 == 0 ? a / 4 : 0, c % 4 == 0 ? c / 4 : 1);
        uint48 by = uint48(block.timestamp + 1 days);
        GrantRegistry.Terms memory t = GrantRegistry.Terms(
            idOf(which), "terms", bytes32(which % 3 + 1), "purpose", address(1), uint48(START), uint48(START + 9 days), USES
        );
        (address d, address e, bytes32 n) = (vm.addr(key(a)), vm.addr(key(c)), bytes32(nonce % 2));
        bytes memory s = signed(key(a), registry, approvalOf(t, d, n, by, e));
        bytes memory z = signed(key(c), registry, consentOf(t, e, n, by, vm.addr(0x99)));
        bool done = send(
            abi.encodeCall(
                registry.register,
                (t, GrantRegistry.Approval(d, n, by, s), GrantRegistry.Consent(e, n, by, vm.addr(0x99), z))
            )
        );
        if (!done) return;
        GrantRegistry.Grant memory g = registry.grants(t.grantId);
        check(g.regulator == vm.addr(REGULATOR) && g.custodian != g.regulator, "one key, or a wrong one, decided");
        if (owners[g.datasetId] == address(0)) owners[g.datasetId] = g.custodian;
        check(owners[g.datasetId] == g.custodian && registry.ownerOf(g.datasetId) == g.custodian, "another owner");
    }

    function revoke(uint256 which, uint256 who) external {
        if (who % 4 != 0) return;
        who /= 4;
        bytes32 id = idOf(which);
        bytes memory s = signed(key(who), registry, revocationOf(id, "why", vm.addr(key(who))));
        bool done = send(abi.encodeCall(registry.revoke, (id, "why", vm.addr(key(who)), s)));
        bool registered = registry.grants(id).registeredBlock != 0;
        if (done && (key(who) == REGULATOR || registered)) gone[id] = true;
    }

    function suspend(uint256 which, uint256 who, bool on, uint64 step) external {
        on = on && step % 5 == 0;
        bytes32 id = idOf(which);
        uint64 number = numbers[id] + step % 3;
        bytes memory s = signed(key(who), registry, suspensionOf(id, on, number, vm.addr(key(who))));
        bool done = send(abi.encodeCall(registry.suspend, (id, on, number, vm.addr(key(who)), s)));
        if (!done) return;
        check(key(who) == REGULATOR || vm.addr(key(who)) == registry.grants(id).custodian, "a stranger suspended");
        numbers[id] = number;
    }

    function cancel(uint256 which, uint256 who, uint256 nonce) external {
        if (nonce % 8 > 1) return;
        bytes32 id = idOf(which);
        bytes memory s = signed(key(who), registry, cancellationOf(id, bytes32(nonce % 2), vm.addr(key(who))));
        send(abi.encodeCall(registry.cancel, (id, bytes32(nonce % 2), vm.addr(key(who)), s)));
    }

    function consume(uint256 which, uint256 job, bool right) external {
        (bytes32 id, bytes32 hash) = (idOf(which), bytes32(job % 5 + 1));
        right = right || job % 3 != 0;
        bool before = registry.used(id, hash);
        bool active = registry.isActive(id);
        bool done = send(
            abi.encodeCall(registry.consume, (id, hash, signed(right ? 0x99 : CUSTODIAN, registry, useOf(id, hash))))
        );
        if (!done || before) return;
        check(right && active, "used without permission");
        counted[id] += 1;
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + time % 3 hours);
    }
}

contract InvariantsTest {
    Anchorer private anchorer = new Anchorer();
    Grantor private grantor = new Grantor();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](2);
        (targets[0], targets[1]) = (address(anchorer), address(grantor));
    }

    function invariant_history_only_grows() external view {
        rootsNeverChange();
        grantsNeverRevive();
    }

    /// A root never changes, and the head is the root of the largest size.
    function rootsNeverChange() private view {
        (bytes32 root, uint64 size,,) = anchorer.anchor().heads(anchorer.LOG());
        require(size == anchorer.size(), "the size");
        require(anchorer.anchor().rootAt(anchorer.LOG(), 0) == 0, "an empty log was anchored");
        for (uint64 n = 1; n <= 32; n++) {
            bytes32 now_ = anchorer.anchor().rootAt(anchorer.LOG(), n);
            require(now_ == anchorer.seen(n), "a root changed");
            if (n == size) require(now_ == root, "the head is another root");
            if (n > size) require(now_ == 0, "a root beyond the head");
        }
    }

    /// A revoked grant is never active again, and uses never exceed.
    function grantsNeverRevive() private view {
        for (uint256 i = 0; i < 2; i++) {
            bytes32 id = grantor.idOf(i);
            GrantRegistry.Grant memory g = grantor.registry().grants(id);
            bool active = grantor.registry().isActive(id);
            require(g.uses <= grantor.USES() && g.uses == grantor.counted(id), "uses exceed, or were not counted");
            if (grantor.gone(id)) require(!active && (g.revoked || g.registeredBlock == 0), "a revoked grant revived");
            if (g.suspendedByRegulator || g.suspendedByCustodian) require(!active, "suspended and active");
            if (g.uses == grantor.USES()) require(!active, "used up and active");
        }
    }
}
