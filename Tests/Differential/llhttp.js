// Runs Node's parser, llhttp, over single requests.
//
// Reads lines of JSON {"bytes": hex} from standard input, each one request with nothing behind it, and writes for each
// a line: {"error": code} or {"method", "url", "version", "body", "early", "complete"}. `complete` says whether the
// request ended with its last byte, `early` whether it had ended before.
'use strict';
process.removeAllListeners('warning');
process.on('warning', () => {});
const { HTTPParser, methods } = process.binding('http_parser');

function parse(bytes) {
  const parser = new HTTPParser();
  const result = { body: '', early: false, complete: false };
  const body = [];
  let completed = 0;
  parser.initialize(HTTPParser.REQUEST, {}, 1 << 20, 0);
  let url = '';
  parser[HTTPParser.kOnHeaders | 0] = (headers, part) => { url += part; };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, method, target) => {
    result.version = `${major}.${minor}`;
    result.method = methods[method];
    result.url = Buffer.from(target === undefined ? url : target, 'latin1').toString('hex');
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (chunk, offset, length) => {
    // Older releases give the whole buffer with a place in it, newer ones the piece itself.
    body.push(offset === undefined ? Buffer.from(chunk) : Buffer.from(chunk.subarray(offset, offset + length)));
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { completed += 1; };
  const cut = bytes.length - 1;
  for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
    if (piece.length === 0) continue;
    result.early = completed > 0;
    const parsed = parser.execute(piece);
    if (parsed instanceof Error) {
      if (parsed.code === 'HPE_PAUSED_UPGRADE') continue;
      return { error: parsed.code, reason: parsed.reason };
    }
  }
  result.complete = completed === 1;
  result.body = Buffer.concat(body).toString('hex');
  return result;
}

const lines = require('fs').readFileSync(0, 'latin1').split('\n');
const output = [];
for (const line of lines) {
  if (line === '') continue;
  output.push(JSON.stringify(parse(Buffer.from(JSON.parse(line).bytes, 'hex'))));
}
process.stdout.write(JSON.stringify({ versions: process.versions, methods }) + '\n' + output.join('\n') + '\n');
