// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {GrantRegistry} from "../GrantRegistry.sol";
import {ParticipantRegistry} from "../ParticipantRegistry.sol";
import {Passkey} from "../Passkey.sol";
import {SpaceDomain} from "../SpaceDomain.sol";
import {Check} from "./Vm.sol";

/// Signs each message of the contracts: written out a second time, so that a changed type is noticed.
abstract contract Signing is Check {
    uint256 private constant P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
    string internal constant ORIGIN = "https://office.example";
    uint48 internal constant SIGN_BY = uint48(START + 60 days);

    function digest(SpaceDomain domain, bytes memory encoded) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain.domainSeparator(), keccak256(encoded)));
    }

    function signed(uint256 key, SpaceDomain domain, bytes memory encoded) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest(domain, encoded));
        return abi.encodePacked(r, s, v);
    }

    // grants

    function approvalOf(GrantRegistry.Terms memory t, address decider, bytes32 nonce, uint48 signBy, address custodian)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            abi.encode(
                keccak256(
                    "Approval(bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy,address custodian)"
                ),
                t.grantId,
                t.termsHash,
                t.datasetId,
                t.purpose,
                t.grantee
            ),
            abi.encode(decider, t.notBefore, t.notAfter, t.maxUses, nonce, signBy, custodian)
        );
    }

    function consentOf(GrantRegistry.Terms memory t, address decider, bytes32 nonce, uint48 signBy, address service)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            abi.encode(
                keccak256(
                    "Consent(bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy,address service)"
                ),
                t.grantId,
                t.termsHash,
                t.datasetId,
                t.purpose,
                t.grantee
            ),
            abi.encode(decider, t.notBefore, t.notAfter, t.maxUses, nonce, signBy, service)
        );
    }

    function revocationOf(bytes32 grantId, bytes32 reason, address decider) internal pure returns (bytes memory) {
        return abi.encode(
            keccak256("Revocation(bytes32 grantId,bytes32 reasonHash,address decider)"), grantId, reason, decider
        );
    }

    function cancellationOf(bytes32 grantId, bytes32 nonce, address decider) internal pure returns (bytes memory) {
        return abi.encode(
            keccak256("Cancellation(bytes32 grantId,bytes32 nonce,address decider)"), grantId, nonce, decider
        );
    }

    function suspensionOf(bytes32 grantId, bool on, uint64 number, address decider)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(
            keccak256("Suspension(bytes32 grantId,bool suspended,uint64 number,address decider)"),
            grantId,
            on,
            number,
            decider
        );
    }

    function useOf(bytes32 grantId, bytes32 jobHash) internal pure returns (bytes memory) {
        return abi.encode(keccak256("Use(bytes32 grantId,bytes32 jobHash)"), grantId, jobHash);
    }

    // participants

    /// kind: Record, Proposal, Veto (speaker: the decider), Handover (the holder)
    function recordOf(string memory kind, ParticipantRegistry.Record memory r, address speaker)
        internal
        pure
        returns (bytes memory)
    {
        bytes32 which = keccak256(bytes(kind));
        if (which == keccak256("Record") || which == keccak256("Proposal")) {
            return decisionOf(kind, r, speaker, SIGN_BY);
        }
        string memory role = which == keccak256("Handover") ? "holder" : "decider";
        bytes memory typeString = bytes.concat(
            bytes(kind),
            "(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,address ",
            bytes(role),
            ")"
        );
        return abi.encode(keccak256(typeString), r.participantId, r.recordHash, r.number, r.controller, speaker);
    }

    function decisionOf(string memory kind, ParticipantRegistry.Record memory r, address speaker, uint48 signBy)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory typeString = bytes.concat(
            bytes(kind),
            "(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,uint48 signBy,address decider)"
        );
        return abi.encode(
            keccak256(typeString), r.participantId, r.recordHash, r.number, r.controller, signBy, speaker
        );
    }

    function controlOf(ParticipantRegistry.Record memory r) internal pure returns (bytes memory) {
        return abi.encode(
            keccak256("Control(bytes32 participantId,bytes32 recordHash,uint64 number,address controller)"),
            r.participantId,
            r.recordHash,
            r.number,
            r.controller
        );
    }

    // passkeys

    function coordinates(uint256 key) internal pure returns (bytes32 x, bytes32 y) {
        (uint256 a, uint256 b) = vm.publicKeyP256(key);
        return (bytes32(a), bytes32(b));
    }

    function clientData(bytes32 challenge, string memory origin) internal pure returns (bytes memory) {
        return bytes.concat(
            '{"type":"webauthn.get","challenge":"',
            bytes(Base64.encodeURL(bytes.concat(challenge))),
            '","origin":"',
            bytes(origin),
            '","crossOrigin":false}'
        );
    }

    function authData(string memory host, uint8 flags) internal pure returns (bytes memory) {
        return abi.encodePacked(sha256(bytes(host)), flags, uint32(7));
    }

    /// A true signature over whatever bytes are given.
    function signedRaw(uint256 key, bytes memory data, bytes memory client)
        internal
        pure
        returns (Passkey.Assertion memory a)
    {
        (a.x, a.y) = coordinates(key);
        (a.r, a.s) = vm.signP256(key, sha256(bytes.concat(data, sha256(client))));
        if (uint256(a.s) > P256_N / 2) a.s = bytes32(P256_N - uint256(a.s));
        a.authenticatorData = data;
        a.clientDataJSON = client;
    }

    function assertion(uint256 key, bytes32 challenge) internal pure returns (Passkey.Assertion memory) {
        return signedRaw(key, authData("office.example", 0x05), clientData(challenge, ORIGIN));
    }

    function highS(Passkey.Assertion memory a) internal pure returns (Passkey.Assertion memory) {
        a.s = bytes32(P256_N - uint256(a.s));
        return a;
    }
}
