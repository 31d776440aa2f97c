// npm's ftpd with one account.
const {FtpServer} = require('ftpd');

const {host, port, home} = JSON.parse(process.argv[2]);
const server = new FtpServer(host, {
  getInitialCwd: () => '/',
  getRoot: () => home,
  pasvPortRangeStart: 32768,
  pasvPortRangeEnd: 60999,
});
server.on('client:connected', (connection) => {
  connection.on('command:user', (user, success) => success());
  connection.on('command:pass', (password, success, failure) => (password === 'secret' ? success('ftpu') : failure()));
});
server.listen(port);
