package formdata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// part is what a service finds in a form.
type part struct {
	name, fileName, contentType, content string
}

// parts reads a form as a service does.
func parts(t *testing.T, contentType string, body io.Reader) []part {
	t.Helper()
	media, params, err := mime.ParseMediaType(contentType)
	require.NoError(t, err)
	require.Equal(t, "multipart/form-data", media)
	reader := multipart.NewReader(body, params["boundary"])
	var list []part
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		content, err := io.ReadAll(p)
		require.NoError(t, err)
		_, disposition, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		require.NoError(t, err)
		list = append(list, part{p.FormName(), disposition["filename"], p.Header.Get("Content-Type"), string(content)})
	}
}

func source(size int64) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i % 251)
	}
	return data
}

// The length is that of the bytes, whatever the size and however they are read.
func TestLength(t *testing.T) {
	for _, size := range []int64{0, 1, 2, 100, 511, 512, 4095, 4096, 4097, 32<<10 - 1, 32 << 10, 1<<20 + 3} {
		t.Run(strconv.FormatInt(size, 10), func(t *testing.T) {
			data := source(size)
			contentType, length, open, err := New().Field("version", "1.0").File("file", "image.tar.gz", bytes.NewReader(data), size).Close()
			require.NoError(t, err)
			whole, err := io.ReadAll(open())
			require.NoError(t, err)
			require.EqualValues(t, len(whole), length)
			want := []part{{"version", "", "", "1.0"}, {"file", "image.tar.gz", "application/octet-stream", string(data)}}
			require.True(t, assert.ObjectsAreEqual(want, parts(t, contentType, bytes.NewReader(whole))))

			byByte, err := io.ReadAll(iotest.OneByteReader(open()))
			require.NoError(t, err)
			require.True(t, bytes.Equal(whole, byByte), "the same each time")
			n, err := io.Copy(io.Discard, open())
			require.NoError(t, err)
			require.Equal(t, length, n)
		})
	}
}

// A length says so without anything being read: that of a terabyte is known at once.
func TestLengthOfALargeFile(t *testing.T) {
	_, empty, _, err := New().File("file", "image", untouchable{}, 0).Close()
	require.NoError(t, err)
	_, length, open, err := New().File("file", "image", untouchable{}, 1<<40).Close()
	require.NoError(t, err)
	require.Equal(t, int64(1<<40), length-empty)
	open()
}

type untouchable struct{}

func (untouchable) ReadAt([]byte, int64) (int, error) { panic("read before it was asked for") }

// A length that no number can hold is no length.
func TestLengthThatOverflows(t *testing.T) {
	_, _, open, err := New().File("file", "image", untouchable{}, math.MaxInt64-10).Close()
	require.ErrorContains(t, err, "too large")
	require.Nil(t, open)
}

func TestFieldsAlone(t *testing.T) {
	contentType, length, open, err := New().Field("a", "1").Field("b", "").Field("a", "2").Close()
	require.NoError(t, err)
	data, err := io.ReadAll(open())
	require.NoError(t, err)
	require.EqualValues(t, len(data), length)
	require.Equal(t, []part{{"a", "", "", "1"}, {"b", "", "", ""}, {"a", "", "", "2"}}, parts(t, contentType, bytes.NewReader(data)))

	_, length, open, err = New().Close()
	require.NoError(t, err)
	data, err = io.ReadAll(open())
	require.NoError(t, err)
	require.EqualValues(t, len(data), length)
}

func TestFieldAfterFile(t *testing.T) {
	contentType, length, open, err := New().Field("a", "1").File("f", "x", strings.NewReader("content"), 7).Field("b", "2").Close()
	require.NoError(t, err)
	data, err := io.ReadAll(open())
	require.NoError(t, err)
	require.EqualValues(t, len(data), length)
	require.Equal(t, []part{
		{"a", "", "", "1"}, {"f", "x", "application/octet-stream", "content"}, {"b", "", "", "2"},
	}, parts(t, contentType, bytes.NewReader(data)))
}

// Values and file names arrive as they were, and cannot break out of the form.
func TestSpecialCharacters(t *testing.T) {
	for name, tt := range map[string]struct {
		fileName, want string
	}{
		"space":     {"my image.tar.gz", "my image.tar.gz"},
		"quotes":    {`my "best" image`, `my "best" image`},
		"backslash": {`C:\images\x`, `C:\images\x`},
		"UTF-8":     {"画像-ü.tar.gz", "画像-ü.tar.gz"},
		"percent":   {"100%25.tar", "100%25.tar"},
		"semicolon": {`a;b="c"`, `a;b="c"`},
		"line ends": {"a\r\nX-Evil: 1\r\n\r\nb", "a%0D%0AX-Evil: 1%0D%0A%0D%0Ab"},
		"empty":     {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			value := "line\r\n--boundary--\r\n" + tt.fileName
			contentType, length, open, err := New().Field(`na"me`, value).File(`fi"le`, tt.fileName, strings.NewReader("content"), 7).Close()
			require.NoError(t, err)
			data, err := io.ReadAll(open())
			require.NoError(t, err)
			require.EqualValues(t, len(data), length)
			require.Equal(t, []part{
				{`na"me`, "", "", value},
				{`fi"le`, tt.want, "application/octet-stream", "content"},
			}, parts(t, contentType, bytes.NewReader(data)))
		})
	}
}

// A body is opened again for each try, while another may still be read.
func TestParallelReplay(t *testing.T) {
	data := source(200_000)
	_, length, open, err := New().Field("a", "1").File("f", "x", bytes.NewReader(data), int64(len(data))).Close()
	require.NoError(t, err)
	want, err := io.ReadAll(open())
	require.NoError(t, err)
	require.EqualValues(t, len(want), length)

	half := open()
	_, err = io.CopyN(io.Discard, half, length/2)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := io.ReadAll(open())
			if assert.NoError(t, err) {
				assert.True(t, bytes.Equal(want, got))
			}
		})
	}
	wg.Wait()
	rest, err := io.ReadAll(half)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want[length/2:], rest))
}

// A source that ends early must not have the end of the form taken for its own
// last bytes.
func TestShortSource(t *testing.T) {
	for _, has := range []int{0, 1, 999} {
		_, length, open, err := New().File("f", "x", bytes.NewReader(source(int64(has))), 1000).Close()
		require.NoError(t, err)
		data, err := io.ReadAll(open())
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.ErrorContains(t, err, fmt.Sprintf("the source is %d bytes shorter than its size", 1000-has))
		require.Less(t, int64(len(data)), length)
		require.NotContains(t, string(data[len(data)-min(len(data), has):]), "--\r\n")
	}
}

// A source that is longer is read up to its size.
func TestLongSource(t *testing.T) {
	contentType, length, open, err := New().File("f", "x", strings.NewReader("0123456789"), 4).Close()
	require.NoError(t, err)
	data, err := io.ReadAll(open())
	require.NoError(t, err)
	require.EqualValues(t, len(data), length)
	require.Equal(t, "0123", parts(t, contentType, bytes.NewReader(data))[0].content)
}

var errDisk = errors.New("the disk is gone")

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestFailingSource(t *testing.T) {
	_, _, open, err := New().File("f", "x", failing{}, 10).Close()
	require.NoError(t, err)
	_, err = io.ReadAll(open())
	require.ErrorIs(t, err, errDisk)
}

func TestOneFileOnly(t *testing.T) {
	_, _, _, err := New().File("f", "x", strings.NewReader("1"), 1).File("g", "y", strings.NewReader("2"), 1).Field("a", "1").Close()
	require.EqualError(t, err, "build form: form has a file already")
}

func TestBoundariesDiffer(t *testing.T) {
	first, _, _, err := New().Close()
	require.NoError(t, err)
	second, _, _, err := New().Close()
	require.NoError(t, err)
	require.NotEqual(t, first, second, "nobody can guess one to put it into a file")
}
