package simulator

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// weakTalk returns the conversation of a text service.
func weakTalk(service string) func(net.Conn) {
	switch service {
	case WeakSSH:
		return func(c net.Conn) { converse(c, "SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.8\r\n", nil) }
	case WeakFTP:
		return func(c net.Conn) { converse(c, "220 (vsFTPd 2.3.4)\r\n", weakFTPReply) }
	default:
		return func(c net.Conn) { converse(c, "", weakRedisReply) }
	}
}

// converse greets, then answers line by line until the peer goes or dawdles. A reply of "" ends the conversation, and
// so does a nil reply function after the first line.
func converse(c net.Conn, greeting string, reply func(line string) string) {
	idle := time.AfterFunc(weakTimeout, func() { _ = c.Close() })
	defer idle.Stop()
	say := func(text string) bool {
		idle.Reset(weakTimeout)
		_, err := io.WriteString(c, text)
		return err == nil
	}
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 0, 512), 4096)
	if !say(greeting) {
		return
	}
	for lines.Scan() {
		if reply == nil {
			return
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue // as the real servers do
		}
		answer := reply(line)
		if answer == "" || !say(answer) {
			return
		}
	}
}

func weakFTPReply(line string) string {
	word, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch word {
	case "USER":
		return "331 Please specify the password.\r\n"
	case "PASS":
		return "530 Login incorrect.\r\n"
	case "SYST":
		return "215 UNIX Type: L8\r\n"
	case "QUIT":
		return ""
	default:
		return "500 Unknown command.\r\n"
	}
}

func weakRedisReply(line string) string {
	word, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch word {
	case "PING":
		return "+PONG\r\n"
	case "INFO":
		info := "# Server\r\nredis_version:2.8.4\r\nredis_mode:standalone\r\nos:Linux 3.13.0 x86_64\r\n"
		return fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
	case "GET":
		return "-ERR wrong number of arguments for 'get' command\r\n" // what scanners know Redis by
	case "QUIT", "HOST:", "POST":
		return "" // as the real server does against cross-protocol requests
	default:
		return "-ERR unknown command\r\n"
	}
}
