// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Passkey} from "../Passkey.sol";
import {PasskeyAccount} from "../PasskeyAccount.sol";
import {Signing} from "./Signing.sol";

/// What an account takes for its person's signature: every row of hostile bytes under a true signature.
contract PasskeyTest is Signing {
    uint256 private constant FIRST = 0xA1;
    uint256 private constant SECOND = 0xA2;
    bytes32 private constant CHALLENGE = keccak256("approve this");
    PasskeyAccount private account;

    function setUp() public {
        vm.warp(START);
        account = make(true);
    }

    function make(bool deviceBound) private returns (PasskeyAccount) {
        PasskeyAccount.Key[] memory keys = new PasskeyAccount.Key[](2);
        (keys[0].x, keys[0].y) = coordinates(FIRST);
        (keys[1].x, keys[1].y) = coordinates(SECOND);
        keys[0].origin = ORIGIN;
        keys[1].origin = ORIGIN;
        return new PasskeyAccount(address(0), deviceBound, 2 days, keys, "space");
    }

    function takes(Passkey.Assertion memory a) private view returns (bool) {
        return takesBytes(abi.encode(a));
    }

    function takesBytes(bytes memory blob) private view returns (bool) {
        try account.isValidSignature(CHALLENGE, blob) returns (bytes4 said) {
            return said == bytes4(0x1626ba7e);
        } catch {
            return false;
        }
    }

    function withClient(bytes memory client) private view returns (bool) {
        return takes(signedRaw(FIRST, authData("office.example", 0x05), client));
    }

    function withAuth(bytes memory data) private view returns (bool) {
        return takes(signedRaw(FIRST, data, clientData(CHALLENGE, ORIGIN)));
    }

    function start() private pure returns (bytes memory whole) {
        whole = clientData(CHALLENGE, ORIGIN); // without the last member and brace
        uint256 length = whole.length - 21;
        assembly ("memory-safe") {
            mstore(whole, length)
        }
    }

    function test_it_works() public view {
        check(takes(assertion(FIRST, CHALLENGE)), "first key");
        check(takes(assertion(SECOND, CHALLENGE)), "second key");
        check(withClient(bytes.concat(start(), "}")), "no crossOrigin");
        check(withClient(bytes.concat(start(), ',"crossOrigin":false,"other":"[,}\\""}')), "members behind");
        check(withAuth(bytes.concat(authData("office.example", 0x85), "extension data")), "longer data");
    }

    function test_hostile_client_data() public view {
        bytes memory s = start();
        check(!withClient(clientData(keccak256("another"), ORIGIN)), "challenge");
        check(!withClient(clientData(CHALLENGE, "https://other.example")), "origin");
        check(!withClient(clientData(CHALLENGE, "https://office.example.evil.example")), "longer origin");
        check(!withClient(clientData(CHALLENGE, "https://office.example:8443")), "port");
        check(!withClient(clientData(CHALLENGE, "http://office.example")), "scheme");
        check(!withClient(""), "empty");
        check(!withClient("{}"), "tiny");
        check(!withClient(s), "cut off");
        check(!withClient(bytes.concat(s, ',"crossOrigin":true}')), "crossOrigin");
        check(!withClient(bytes.concat(s, ',"crossOrigin":false')), "last brace cut off");
        check(!withClient(bytes.concat(s, ',"crossOrigin":false,"a":1')), "last brace cut off behind a member");
        check(!withClient(bytes.concat(s, ',"crossOrigin":false}x')), "garbage behind");
        check(!withClient(bytes.concat(s, ',"crossOrigin":false}}')), "brace behind");
        check(!withClient(bytes.concat(s, "}}")), "brace behind the short form");
        check(!withClient(bytes.concat(s, ',"crossOrigin":falsehood}')), "longer word");
        check(!withClient(bytes.concat(s, ',"injected":1,"crossOrigin":false}')), "injected before crossOrigin");
        check(!withClient(bytes.concat(s, ', "crossOrigin":false}')), "blank");
        check(!withClient(bytes.concat(" ", s, "}")), "blank in front");
        check(!withClient(bytes.concat('{"a":1,', _tail(s, 1), "}")), "injected in front");
        check(!withClient(bytes.concat('{"type":"webauthn.create",', _tail(s, 23), "}")), "type");
        check(!withClient(bytes.concat('{"x":"', s, '"}')), "hidden in a string");
    }

    function test_hostile_base64() public view {
        bytes memory good = clientData(CHALLENGE, ORIGIN);
        bytes memory bent = bytes.concat(good);
        bent[36 + 42] = bytes1(uint8(bent[36 + 42]) ^ 1); // the last sign holds four bits; the others are unused
        check(!withClient(bent), "unused bits");
        bytes memory padded = bytes.concat(_head(good, 36 + 43), "=", _tail(good, 36 + 43));
        check(!withClient(padded), "padding");
    }

    function test_hostile_authenticator_data() public view {
        check(!withAuth(authData("example", 0x05)), "parent domain");
        check(!withAuth(authData("other.example", 0x05)), "other host");
        check(!withAuth(authData("office.example", 0x01)), "not verified");
        check(!withAuth(authData("office.example", 0x04)), "not present");
        check(!withAuth(authData("office.example", 0x15)), "backed up, not eligible");
        check(!withAuth(authData("office.example", 0x1d)), "synced");
        check(!withAuth(authData("office.example", 0x0d)), "may be synced");
        check(!withAuth(_head(authData("office.example", 0x05), 36)), "36 bytes");
        check(!withAuth(""), "no bytes");
    }

    function test_synced_keys_where_the_account_takes_them() public {
        account = make(false);
        check(withAuth(authData("office.example", 0x1d)), "synced");
        check(withAuth(authData("office.example", 0x0d)), "may be synced");
        check(!withAuth(authData("office.example", 0x15)), "backed up, not eligible");
    }

    function test_hostile_signatures() public {
        check(!takes(highS(assertion(FIRST, CHALLENGE))), "high s");
        check(!takes(assertion(0xBAD, CHALLENGE)), "a stranger's key");
        Passkey.Assertion memory a = assertion(FIRST, CHALLENGE);
        (a.x, a.y) = coordinates(SECOND);
        check(!takes(a), "the other key shown");
        a = assertion(FIRST, CHALLENGE);
        a.r = 0;
        check(!takes(a), "zero r");
        // code planted where P256VERIFY lies, which says yes to everything
        a = assertion(FIRST, CHALLENGE);
        a.r = bytes32(uint256(a.r) ^ 1);
        vm.etch(address(0x100), hex"600160005260206000f3");
        check(!takes(a), "the planted precompile vouched");
    }

    function test_one_spelling() public view {
        bytes memory good = abi.encode(assertion(FIRST, CHALLENGE));
        check(takesBytes(good), "good");
        check(!takesBytes(bytes.concat(good, hex"00")), "a byte behind");
        check(!takesBytes(bytes.concat(good, new bytes(32))), "a word behind");
        check(!takesBytes(""), "empty");
        check(!takesBytes(new bytes(65)), "as long as the other scheme's");
    }

    function testFuzz_no_single_bit_may_change(uint256 place) public view {
        bytes memory blob = abi.encode(assertion(FIRST, CHALLENGE));
        place = place % (blob.length * 8);
        blob[place / 8] = bytes1(uint8(blob[place / 8]) ^ uint8(1 << (place % 8)));
        check(!takesBytes(blob), "a changed bit was taken");
    }

    function testFuzz_only_its_own_challenge(bytes32 other) public view {
        vm.assume(other != CHALLENGE);
        check(!takes(assertion(FIRST, other)), "another challenge");
    }

    function test_origins() public view {
        check(this.hashOf("https://office.example") == sha256("office.example"), "host");
        check(this.hashOf("https://office.example:8443") == sha256("office.example"), "port");
        check(this.hashOf("https://portal") == sha256("portal"), "single label");
        check(this.hashOf("http://localhost:8455") == sha256("localhost"), "localhost");
        string[14] memory bad = [
            "", "https://", "http://office.example", "http://localhost.evil.example", "https://Office.example",
            "https://office.example/", "https://office.example:", "https://office.example:080",
            "https://office.example:123456", 'https://office"', "https://office.example:80a", "ftp://office.example",
            "https://[::1]", "office.example"
        ];
        for (uint256 i = 0; i < bad.length; i++) {
            try this.hashOf(bad[i]) {
                check(false, bad[i]);
            } catch {}
        }
    }

    function hashOf(string memory origin) external pure returns (bytes32) {
        return Passkey.rpIdHashOf(origin);
    }

    function _head(bytes memory data, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            part[i] = data[i];
        }
    }

    function _tail(bytes memory data, uint256 from) private pure returns (bytes memory part) {
        part = new bytes(data.length - from);
        for (uint256 i = 0; i < part.length; i++) {
            part[i] = data[from + i];
        }
    }
}
