package redact

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// words returns n bytes of a text without secrets.
func words(n int) string {
	const page = "<p>The request &quot;GET /v1/images?name=a%20b&amp;limit=10&quot; was not understood.</p>\n" +
		`{"error": {"code": 400, "message": "Invalid \"imageRef\" 4bf92f3577b34da6a3ce929d0e0e4736"}}` + "\n"
	return strings.Repeat(page, n/len(page)+1)[:n]
}

func randomSecret(n int) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b strings.Builder
	for range n {
		b.WriteByte(digits[r.IntN(len(digits))])
	}
	return b.String()
}

func randomSecrets(count, length int) []string {
	all := randomSecret(count * length)
	var secrets []string
	for i := range count {
		secrets = append(secrets, all[i*length:(i+1)*length])
	}
	return secrets
}

// Per KiB, these cost the same whatever the length of text and secrets.
func BenchmarkContains(b *testing.B) {
	for _, text := range []int{1 << 10, 64 << 10} {
		for _, secrets := range []struct{ count, length int }{{1, 32}, {100, 32}, {1, 16 << 10}, {100, 16 << 10}, {1, 7}} {
			b.Run(fmt.Sprintf("text=%dKiB/secrets=%dx%d", text>>10, secrets.count, secrets.length), func(b *testing.B) {
				set, body := New(randomSecrets(secrets.count, secrets.length)...), words(text)
				benchmarkContains(b, set, body)
			})
		}
	}
}

func benchmarkContains(b *testing.B, set *Set, text string) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if set.Contains(text) {
			b.Fatal("found")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)>>10), "ns/KiB")
}

// What a text costs at worst.
func BenchmarkHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"escapes": `%2525255c+\\\\\u0026amp;amp;amp;`,
		"base64":  "Vm0wd2QyUXlVWGxWV0d4V1YwZDRWMVl3WkRSV01WbDNXa1JTVjAxV2JETlhhMUpUVmpBeFYySkVUbGhoTVVwVVZtcEJlRll5U2tWVWJHaG9UVlZ3VlZadGNFSmxSbGw1VTJ0V1ZXSkhhRzlVVmxaM1ZsWmFkR05GU214U2JHdzFWVEowVjFaWFNraGhSemxWVm14YU0xWnNXbUZrUjA1R1drWndWMDFFUlRGV1ZFb3dWakZhV0ZOcmFHaFNlbXhXVm0xNFlVMHhXbk5YYlVaclVqQTFSMVV5TVRSVk1rcElaSHBHVjFaRmIzZFdha1poVjBaT2NtRkhhRk5sYlhoWFZtMHhORmxWTUhoWGJrNVlZbFZhY2xWcVFURlNNV1J5VjJ4T1ZXSlZjRWRaTUZaM1ZqSktWVkpZWkZwbGEzQklWbXBHVDJSV1ZuUmhSazVzWWxob1dGWnRNSGhPUm14V1RVaG9XR0pyTlZsWmJGWmhZMnhXYzFWclpGaGlSM1F6VjJ0U1UxWnJNWEpqUm1oV1RXNVNNMVpxU2t0V1ZrcFpXa1p3VjFKV2NIbFdWRUpoVkRKT2RGSnJaRmhpVjNoVVdWUk9RMWRHV25STlZFSlhUV3hHTlZaWE5VOVhSMHBJVld4c1dtSkhhRlJXTUZwVFZqRndSMVJ0ZUdsU2JYY3hWa1phVTFVeFduSk5XRXBxVWxkNGFGVXdhRU5UUmxweFUydGFiRlpzV2xwWGExcDNZa2RGZWxGcmJGZFdNMEpJVmtSS1UxWXhWblZWYlhCVFlYcFdXVlpYY0U5aU1rbDRWMjVTVGxkSFVsWlVWbHBYVGxaYVdHUkhkRmhTTUhCSlZsZDRjMWR0U2tkWGJXaGFUVlp3YUZwRlpGTlRSa3B5VGxaT2FWSnRPVE5XTW5oWFdWWlJlRmRzYUZSaVJuQnhWV3hrVTFsV1VsWlhiVVpPVFZad2VGVXlkREJXTVZweVYyeHdXbFpXY0hKV1ZFWkxWMVpHY21KR1pGZE5NRXBKVm10U1MxVXhXWGhhU0ZaVllrWktjRlpxVG05V1ZscEhXVE5vYVUxWFVucFdNV2h2V1ZaS1IxTnVRbFZXTTFKNlZHdGFhMk5zV25Sa1JtUnBWbGhDTlZkVVFtRmpNV1IwVTJ0a1dHSlhhR0ZVVmxwM1pXeHJlV1ZJWkZOTlZrcDVWR3hhVDJGV1NuUlBWRTVYVFc1b1dGbHFTa1psUm1SWldrVTFWMVpzY0ZWWFYzUnJWVEZzVjFWc1dsaGlWVnBQVkZaYWQyVkdWWGxrUkVKWFRWWndlVmt3V25kWFIwVjRZMFJPV21FeVVrZGFWM2hIWTIxS1IxcEhiRmhTVlhCS1ZtMTBVMU14VlhoWFdHaFlZbXhhVmxsclpHOWpSbHB4VTIwNVYxWnNjRWhYVkU1dllWVXhXRlZ1Y0ZkTlYyZ3lWMVprUzFaV1NuVlNiRnBwVmtWVmQxWnRjRWRWTVZwMFVtdG9VRlpOV2xSV2JHaERVMVphY1ZKdFJsUk5WbXcxVld4b2MxWnRSbkpqUmxwWFlsaG9VMWxWV210WFIxWklVbXhPVGxaWVFrbFdha2t4VkRGYVdGTnNhRlppUjJoWVdXeG9iMkl4V25OWGJYUlhUVmRTZWxadGN6VldNVXB5WTBab1YxWkZTbkpVYTFwclVqRldjMXBHYUdoTk1VcFdWbGN4TkdReVZrZFdXR3hyVWpOU2IxbHNWbmRXTVZwMFkwVmtWMDFFUmpGWlZXaExWakZhUmxkcmFGZGhhM0JRVm1wR1UyTXhjRWhpUm1oVFZsaENTMVp0TVRCVk1VMTRWbGhvV0ZkSGFGbFpiWGhoVm14c2NscEhPV3BTYkhCNFZrY3dOVll4V25OalJXaFlWa1UxZGxsV1ZYaFhSbFp6WVVaa1RtRnNXbFZXYTJRMFdWWkplRlJ1VmxKaVJscFlXV3hvYjFkR1pGZFZhMlJXVFZad01GVnRkRzlWUmxwMFlVWlNWVlpYYUVSV01WcGhZMVpPVlZKc1drNVdNVWwzVmxSS01HRXhaRWhUYkdob1VqQmFWbFp1Y0Zka2JGbDNWMjVLYkZKdFVubGFSV1IzWVZaYWNtTkZiRmRpUjFFd1ZrUktSMVl4VG5WVmJFSlhVbFJXV1ZaWFJtRmtNREZIVjJ4V1UySkdjSE5WYlRGVFRWWlZlV042UmxoU2EzQmFWVmMxYjFZeFdYcGhTRXBWWVRKU1NGVnFSbUZYVm5CSVlVWk9WMVpHV2xkV2JHTjRUa2RSZVZaclpGZGliRXBQVm14a1UxWXhVbGhrU0dSWFRWZDRlVlpYTVVkWFJrbDNWbXBTV2sxSGFFeFdNbmhoVjBaV2NscEhSbGRXTVVwUlZsUkNWazVXV1hoalJXUmhVbFJXVDFWc2FFTlRNVnB4VW0xR1ZrMVZNVFJXYkdodlYwWmtTR0ZHV2xwaVdHaG9WbTE0YzJOc1pISmtSM0JUWWtad05GWlhNVEJOUmxsNFYyNU9hbEpYYUZoV2FrNVRWRVpzVlZGWWFGTldhM0I2VmtkNFlWVXlTa1pYV0hCWFZsWndSMVF4V2tOVmJFSlZUVVF3UFE9PQ==",
		"plus":    "+",
		"prefix":  randomSecret(32)[:31],
		"script":  "<script<!----",
		"entity":  "&a", "ampersand": "&", "percent": "%", "backslash": `\`, "backslash u": `\u`, "name": "&" + strings.Repeat("a", 64<<10),
	} {
		text := strings.Repeat(unit, 64<<10/len(unit)+1)[:64<<10]
		for _, secret := range []string{randomSecret(32), "pass+w"} {
			set := New(secret)
			b.Run(fmt.Sprintf("%s/secret=%d", name, len(secret)), func(b *testing.B) { benchmarkContains(b, set, text) })
			b.Run(fmt.Sprintf("%s/secret=%d/cut", name, len(secret)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					set.Body([]byte(text), true)
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for _, secrets := range [][]string{randomSecrets(1, 32), randomSecrets(100, 32), randomSecrets(1, 16<<10), {pemKey("\n")}} {
		b.Run(fmt.Sprintf("secrets=%dx%d", len(secrets), len(secrets[0])), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				New(secrets...).Contains("x")
			}
		})
	}
}

func BenchmarkPageText(b *testing.B) {
	for name, unit := range map[string]string{"script": "<script<!----", "scripts": "<script>", "comment": "<!--", "tag": "<a ", "page": words(64 << 10), "title": "<title>", "escaped script": "<script><!--<script>"} {
		for _, size := range []int{1 << 10, 64 << 10} {
			text := strings.Repeat(unit, size/len(unit)+1)[:size]
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					PageText(text)
				}
			})
		}
	}
}
