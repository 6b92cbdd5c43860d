// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccessControl, IAccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {AccessControlEnumerable} from "@openzeppelin/contracts/access/extensions/AccessControlEnumerable.sol";

/// @notice Who may do what: the regulator's office is the admin, a new role takes a day, a role is taken at once.
/// @dev The admin's own transfer is delayed by OpenZeppelin. A stolen admin key names nobody before the office and every
///      regulator have had a day to see it and to call it off. The deployer holds no role at any time.
///      On who "admin" is: in production an m-of-n contract account of the office; what a node honours stands in the
///      regulator's trust file, not here, so that even a lost admin cannot make a node compute.
abstract contract SpaceRoles is AccessControlEnumerable, AccessControlDefaultAdminRules {
    bytes32 public constant REGULATOR_ROLE = keccak256("REGULATOR_ROLE");
    uint48 public constant ROLE_DELAY = 1 days;

    /// When a scheduled role may be granted; zero: it is not scheduled.
    mapping(bytes32 role => mapping(address account => uint48 ripe)) public scheduled;

    event RoleScheduled(bytes32 indexed role, address indexed account, uint48 ripe);
    event RoleCalledOff(bytes32 indexed role, address indexed account, address indexed by);

    error RoleNotScheduled(bytes32 role, address account);
    error RoleNotRipe(uint48 ripe);
    error MayNotCallOff(address who);

    constructor(address admin) AccessControlDefaultAdminRules(ROLE_DELAY, admin) {}

    /// @notice Say that a role will be given; scheduling again starts the day again.
    function scheduleRole(bytes32 role, address account) external onlyRole(DEFAULT_ADMIN_ROLE) {
        uint48 ripe = uint48(block.timestamp) + ROLE_DELAY;
        scheduled[role][account] = ripe;
        emit RoleScheduled(role, account, ripe);
    }

    /// @notice Take back what is scheduled: the admin or any regulator.
    function callOffRole(bytes32 role, address account) external {
        if (!hasRole(DEFAULT_ADMIN_ROLE, _msgSender()) && !hasRole(REGULATOR_ROLE, _msgSender())) {
            revert MayNotCallOff(_msgSender());
        }
        if (scheduled[role][account] == 0) revert RoleNotScheduled(role, account);
        delete scheduled[role][account];
        emit RoleCalledOff(role, account, _msgSender());
    }

    /// @notice Give a role whose day has passed. Taking one away needs no waiting (revokeRole).
    function grantRole(bytes32 role, address account)
        public
        override(AccessControl, AccessControlDefaultAdminRules, IAccessControl)
        onlyRole(getRoleAdmin(role))
    {
        uint48 ripe = scheduled[role][account];
        if (role != DEFAULT_ADMIN_ROLE) {
            if (ripe == 0) revert RoleNotScheduled(role, account);
            if (block.timestamp < ripe) revert RoleNotRipe(ripe);
            delete scheduled[role][account];
        }
        super.grantRole(role, account);
    }

    function _grantRegulators(address[] memory regulators) internal {
        for (uint256 i = 0; i < regulators.length; i++) {
            _grantRole(REGULATOR_ROLE, regulators[i]);
        }
    }

    // what Solidity asks for where two parents say the same

    function revokeRole(bytes32 role, address account)
        public
        override(AccessControl, AccessControlDefaultAdminRules, IAccessControl)
    {
        super.revokeRole(role, account);
    }

    function renounceRole(bytes32 role, address account)
        public
        override(AccessControl, AccessControlDefaultAdminRules, IAccessControl)
    {
        super.renounceRole(role, account);
    }

    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(AccessControlEnumerable, AccessControlDefaultAdminRules)
        returns (bool)
    {
        return super.supportsInterface(interfaceId);
    }

    function _grantRole(bytes32 role, address account)
        internal
        override(AccessControlEnumerable, AccessControlDefaultAdminRules)
        returns (bool)
    {
        return super._grantRole(role, account);
    }

    function _revokeRole(bytes32 role, address account)
        internal
        override(AccessControlEnumerable, AccessControlDefaultAdminRules)
        returns (bool)
    {
        return super._revokeRole(role, account);
    }

    function _setRoleAdmin(bytes32 role, bytes32 adminRole)
        internal
        override(AccessControl, AccessControlDefaultAdminRules)
    {
        super._setRoleAdmin(role, adminRole);
    }
}
