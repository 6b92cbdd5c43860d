// Compiles the contracts beside this file into artifact.json; with --check it writes nothing and fails on a difference.
// The artifact is committed: nothing at run time compiles, and the build is bit-identical (no metadata hash inside).
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const solc = require('solc');

const HERE = __dirname;
const MODULES = path.join(HERE, '..', '..', 'node_modules');
const NAMES = ['Anchor', 'GrantRegistry', 'ParticipantRegistry', 'PasskeyAccount'];
const SETTINGS = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: 'london',
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: {
    '*': {
      '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object', 'evm.deployedBytecode.immutableReferences'],
    },
  },
};

function compile() {
  const sources = {};
  for (const file of fs.readdirSync(HERE).filter((name) => name.endsWith('.sol')).sort()) {
    sources[file] = { content: fs.readFileSync(path.join(HERE, file), 'utf8') };
  }
  const find = (name) => {
    const file = path.join(MODULES, name);
    return fs.existsSync(file) ? { contents: fs.readFileSync(file, 'utf8') } : { error: 'no such source: ' + name };
  };
  const input = { language: 'Solidity', sources, settings: SETTINGS };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
  for (const message of output.errors || []) console.error(message.formattedMessage);
  if ((output.errors || []).length) throw new Error('the compiler had something to say');
  return { sources, output };
}

function artifact() {
  const { sources, output } = compile();
  const contracts = {};
  for (const name of NAMES) {
    const { abi, evm } = output.contracts[name + '.sol'][name];
    contracts[name] = {
      abi,
      bytecode: '0x' + evm.bytecode.object,
      deployedBytecode: '0x' + evm.deployedBytecode.object,
      // byte ranges the constructor fills in: to be masked before deployed code is compared
      immutableReferences: Object.values(evm.deployedBytecode.immutableReferences || {})
        .flat()
        .map(({ start, length }) => ({ start, length }))
        .sort((a, b) => a.start - b.start),
    };
  }
  const hashes = {};
  for (const [name, { content }] of Object.entries(sources)) {
    hashes[name] = crypto.createHash('sha256').update(content).digest('hex');
  }
  const body = { solc: solc.version(), openzeppelin: openzeppelin(), settings: SETTINGS, sources: hashes, contracts };
  return { ...body, sha256: crypto.createHash('sha256').update(JSON.stringify(body)).digest('hex') };
}

function openzeppelin() {
  return JSON.parse(fs.readFileSync(path.join(MODULES, '@openzeppelin', 'contracts', 'package.json'), 'utf8')).version;
}

const target = path.join(HERE, 'artifact.json');
const text = JSON.stringify(artifact(), null, 1) + '\n';
if (process.argv.includes('--check')) {
  if (!fs.existsSync(target) || fs.readFileSync(target, 'utf8') !== text) {
    console.error('artifact.json is not what these sources compile to; run node ledger/contracts/compile.js');
    process.exit(1);
  }
} else {
  fs.writeFileSync(target, text);
}
