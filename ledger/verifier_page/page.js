// The page itself: files in, findings out. Everything is written as text, never as markup; nothing leaves the page.
import { Refused, hex, sha256 } from './bytes.js';
import { LEVELS, verifyReceipt } from './receipt.js';
import { loadTrust } from './trust.js';
import { WORDS, reason } from './words.js';

const LARGEST = 1_000_000;
const byId = (id) => document.getElementById(id);
const files = { receipt: null, trust: null };
let language = /^zh/i.test(navigator.language) ? 'zh' : 'en';
let last = null;

const say = (name) => WORDS[language][name];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function speak() {
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  document.title = `${say('title')} · 杏林 Xinglin`;
  for (const one of document.querySelectorAll('[data-say]')) one.textContent = say(one.dataset.say);
  byId('language').textContent = say('other');
  byId('language').lang = language === 'zh' ? 'en' : 'zh-Hans';
  byId('levels').setAttribute('aria-label', say('level'));
  for (const name of Object.keys(files)) told(name);
  if (last) show(last);
}

function told(name) {
  const file = files[name];
  document.querySelector(`output[for=${name}]`).textContent = file
    ? `${file.name}: ${file.data.length} ${say('bytes')}` : '';
}

async function take(name, file) {
  if (!file) return;
  forget();
  files[name] = null;
  told(name);
  byId(name).setCustomValidity(file.size > LARGEST ? say('too_large') : '');
  if (file.size > LARGEST) return;
  files[name] = { name: file.name, data: new Uint8Array(await file.arrayBuffer()) };
  byId(name).required = false;
  told(name);
}

/** What was found is of the files and the fingerprint that were there; it does not stand beside others. */
function forget() {
  last = null;
  byId('result').hidden = true;
  byId('contents').hidden = true;
}

function check(event) {
  event.preventDefault();
  if (!files.receipt || !files.trust) return;
  last = judged();
  show(last);
  byId('verdict').focus();
}

function judged() {
  try {
    const trust = loadTrust(files.trust.data, byId('fingerprint').value);
    return { trust, hash: hex(sha256(files.receipt.data)), ...verifyReceipt(files.receipt.data, trust) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refused: [error.code, error.values] };
  }
}

function show(found) {
  byId('result').hidden = false;
  byId('contents').hidden = Boolean(found.refused);
  const title = found.refused ? 'refused' : found.holds ? 'holds' : 'fails';
  byId('verdict').textContent = say(title);
  byId('note').textContent = found.refused ? reason(language, found.refused) : say(`${title}_note`);
  byId('levels').replaceChildren(...(found.refused ? [] : [table(found)]));
  if (found.refused) return;
  const ladder = element('span', undefined, 'ladder');
  ladder.append(...LEVELS.map((name) => element('i', '', found.levels[name].level.replace(' ', '-'))));
  ladder.setAttribute('aria-hidden', 'true');
  byId('verdict').append(ladder);
  contents(found);
}

function table({ levels, required, trust }) {
  const made = element('table');
  const [head, body] = [made.createTHead().insertRow(), made.createTBody()];
  for (const name of ['level', 'state', 'why']) {
    const cell = element('th', say(name));
    cell.scope = 'col';
    head.append(cell);
  }
  for (const name of LEVELS) {
    const { level, reason: why } = levels[name];
    const row = body.insertRow();
    row.dataset.level = name;
    row.dataset.state = level;
    const first = element('th', say(name));
    first.scope = 'row';
    if (required.includes(name)) first.append(element('div', say('required'), 'quiet'));
    const state = element('td');
    state.append(element('span', say(level), `st ${level.replace(' ', '-')}`));
    const development = trust.chain.profile === 'embedded' && name.startsWith('chain_') && level === 'valid';
    const said = [reason(language, why), development ? say('development') : ''].filter(Boolean);
    row.append(first, state, element('td', said.join(language === 'zh' ? '；' : '; ')));
  }
  return made;
}

function contents({ receipt, trust, hash }) {
  const { entry } = receipt;
  byId('says').textContent = `${entry.kind}, ${entry.at}`;
  const grants = (entry.body.grants ?? []).map((one) => one.id).join(' ') || say('none');
  const chain = `${trust.chain.id}${trust.chain.profile === 'embedded' ? ` (${say('development')})` : ''}`;
  const facts = [['event', entry.kind], ['about_subject', `${entry.subject.kind} ${entry.subject.id}`],
    ['time', entry.at], ['number', String(receipt.index)], ['grants', grants],
    ['space', `${trust.name} ${trust.space_id}`], ['chain', chain], ['hash', hash]];
  byId('facts').replaceChildren(...facts.flatMap(([name, value]) => [
    element('dt', say(name)), element('dd', value, ['hash', 'grants'].includes(name) ? 'mono' : undefined)]));
}

function listen() {
  byId('form').addEventListener('submit', check);
  byId('fingerprint').addEventListener('input', forget);
  byId('language').addEventListener('click', () => {
    language = language === 'zh' ? 'en' : 'zh';
    speak();
  });
  for (const name of Object.keys(files)) {
    const place = document.querySelector(`[data-drop=${name}]`);
    byId(name).addEventListener('change', (event) => take(name, event.target.files[0]));
    byId(name).addEventListener('click', (event) => { event.target.value = ''; }); // the same file may be chosen again
    for (const kind of ['dragover', 'dragleave', 'drop']) {
      place.addEventListener(kind, (event) => {
        event.preventDefault();
        place.classList.toggle('over', kind === 'dragover');
        if (kind === 'drop') take(name, event.dataTransfer.files[0]);
      });
    }
  }
  for (const kind of ['dragover', 'drop']) window.addEventListener(kind, (event) => event.preventDefault());
}

/** Many receipts (base64) at once, for who tries this page against another verifier: one line of levels for each. */
globalThis.xinglinJudge = (trusts, cases) => {
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const known = trusts.map(([data, fingerprint]) => loadTrust(bytes(data), fingerprint));
  return cases.map(([which, data]) => {
    try {
      const { levels } = verifyReceipt(bytes(data), known[which]);
      return LEVELS.map((name) => levels[name].level).join();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return 'refused';
    }
  });
};

listen();
speak();
