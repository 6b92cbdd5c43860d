// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @notice One WebAuthn assertion (ES256) over a 32-byte challenge, given on one page, by a person who was verified.
/// @dev Pure rules. The same list stands in ledger/passkey.py, which is stricter in one thing: there the client data must
///      also be JSON to its end, with no key twice. What only one of the two takes permits nothing.
library Passkey {
    struct Assertion {
        bytes32 x;
        bytes32 y;
        bytes32 r;
        bytes32 s;
        bytes authenticatorData;
        bytes clientDataJSON;
    }

    uint8 internal constant USER_PRESENT = 0x01;
    uint8 internal constant USER_VERIFIED = 0x04;
    uint8 internal constant BACKUP_ELIGIBLE = 0x08;
    uint8 internal constant BACKED_UP = 0x10;
    uint256 internal constant LONGEST_ORIGIN = 128;
    uint256 internal constant LONGEST_ASSERTION = 4096;

    error BadOrigin();

    /// @param rpIdHash SHA-256 of the host the key was made for, and `origin` the one page it may be used on
    /// @param deviceBound refuse keys that a cloud account could copy to other devices
    function verify(
        Assertion memory a,
        bytes32 challenge,
        bytes32 rpIdHash,
        string memory origin,
        bool deviceBound
    ) internal view returns (bool) {
        return authenticatorDataHolds(a.authenticatorData, rpIdHash, deviceBound)
            && clientDataHolds(a.clientDataJSON, challenge, origin)
        // Pure Solidity, which refuses the higher s: code planted at the precompile's address (0x100) cannot vouch here.
            && P256.verifySolidity(
                sha256(bytes.concat(a.authenticatorData, sha256(a.clientDataJSON))), a.r, a.s, a.x, a.y
            );
    }

    function authenticatorDataHolds(bytes memory data, bytes32 rpIdHash, bool deviceBound)
        internal
        pure
        returns (bool)
    {
        if (data.length < 37 || data.length > LONGEST_ASSERTION || bytes32(data) != rpIdHash) return false;
        uint8 flags = uint8(data[32]);
        if (flags & (USER_PRESENT | USER_VERIFIED) != (USER_PRESENT | USER_VERIFIED)) return false;
        if (flags & BACKUP_ELIGIBLE == 0 && flags & BACKED_UP != 0) return false; // no authenticator says this
        return !(deviceBound && flags & BACKUP_ELIGIBLE != 0);
    }

    /// @dev The "limited verification" of WebAuthn 5.8.1.2: the fixed beginning must be there to the byte; behind
    ///      crossOrigin a browser may add members (Chromium does so on purpose, now and then).
    function clientDataHolds(bytes memory data, bytes32 challenge, string memory origin) internal pure returns (bool) {
        bytes memory start = bytes.concat(
            '{"type":"webauthn.get","challenge":"',
            bytes(Base64.encodeURL(bytes.concat(challenge))),
            '","origin":"',
            bytes(origin),
            '"'
        );
        uint256 n = start.length;
        if (data.length <= n || data.length > LONGEST_ASSERTION || data[data.length - 1] != "}") return false;
        if (!_startsWith(data, start)) return false;
        if (data.length == n + 1) return true; // some browsers send no crossOrigin
        if (!_startsWith(data, bytes.concat(start, ',"crossOrigin":false'))) return false;
        return data.length == n + 21 || data[n + 20] == ",";
    }

    /// @notice The RP id hash that belongs to an origin: that of its exact host.
    /// @dev With a parent domain any page below it could ask the key for a signature, the portal's among them. Takes
    ///      https, and http on localhost; host and port in the one spelling that browsers give; reverts otherwise.
    function rpIdHashOf(string memory origin) internal pure returns (bytes32) {
        bytes memory o = bytes(origin);
        if (o.length > LONGEST_ORIGIN) revert BadOrigin();
        uint256 start = _startsWith(o, "https://") ? 8 : _startsWith(o, "http://localhost") ? 7 : 0;
        if (start == 0) revert BadOrigin();
        uint256 end = start;
        while (end < o.length && o[end] != ":") {
            bytes1 c = o[end];
            bool letter = (c >= "a" && c <= "z") || (c >= "0" && c <= "9");
            if (!letter && c != "-" && c != ".") revert BadOrigin();
            end++;
        }
        bytes memory host = new bytes(end - start);
        for (uint256 i = 0; i < host.length; i++) {
            host[i] = o[start + i];
        }
        if (host.length == 0 || (start == 7 && keccak256(host) != keccak256("localhost"))) revert BadOrigin();
        if (end < o.length) _checkPort(o, end + 1);
        return sha256(host);
    }

    function _checkPort(bytes memory o, uint256 from) private pure {
        if (o.length == from || o.length - from > 5 || o[from] == "0") revert BadOrigin();
        for (uint256 i = from; i < o.length; i++) {
            if (o[i] < "0" || o[i] > "9") revert BadOrigin();
        }
    }

    function _startsWith(bytes memory whole, bytes memory start) private pure returns (bool equal) {
        uint256 n = start.length;
        if (whole.length < n) return false;
        assembly ("memory-safe") {
            equal := eq(keccak256(add(whole, 32), n), keccak256(add(start, 32), n))
        }
    }
}
