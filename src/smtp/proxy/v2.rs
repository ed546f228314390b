//! Version 2: a binary header, a block of addresses, and then values with a type and a length (TLVs).

use std::net::IpAddr;

use super::{Client, HeaderError, MAX_HEADER, Scan};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, and the length of the rest.
const FIXED: usize = SIGNATURE.len() + 4;
/// Octets of a path of a Unix socket, `sun_path`.
const PATH: usize = 108;
/// The type of the checksum TLV, and its length.
const CRC32C: u8 = 0x03;
const CHECKSUM: usize = 4;

/// Scans input that begins with the signature, or is the beginning of it.
pub(super) fn scan(input: &[u8]) -> Result<Scan<'_>, HeaderError> {
    let Some((fixed, rest)) = input.split_at_checked(FIXED) else { return Ok(Scan::Incomplete) };
    let &[version_and_command, family, high, low] = &fixed[SIGNATURE.len()..] else {
        unreachable!("four octets follow the signature")
    };
    let (version, command) = (version_and_command >> 4, version_and_command & 0xf);
    if version != 2 {
        return Err(HeaderError::Version(version));
    }
    if command > 1 {
        return Err(HeaderError::Command(command));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Err(HeaderError::TooLong(length));
    }
    let Some(block) = rest.get(..length - FIXED) else { return Ok(Scan::Incomplete) };
    // For the proxy's own connection everything else must be ignored.
    let client = if command == 0 { Client::Unnamed } else { client(&input[..length], family, block)? };
    Ok(Scan::Whole { length, client })
}

/// The client in a header of this family, whose fixed part this block follows.
fn client<'i>(header: &[u8], family: u8, block: &'i [u8]) -> Result<Client<'i>, HeaderError> {
    let size = match family {
        0x00 => return Ok(Client::Unnamed),
        0x11 | 0x12 => 2 * 4 + 4,
        0x21 | 0x22 => 2 * 16 + 4,
        0x31 | 0x32 => 2 * PATH,
        _ => return Err(HeaderError::Family(family)),
    };
    let (addresses, tlvs) = block.split_at_checked(size).ok_or(HeaderError::AddressesCut)?;
    check_tlvs(header, header.len() - tlvs.len())?;
    Ok(match family {
        0x11 => inet::<4>(addresses),
        0x21 => inet::<16>(addresses),
        0x31 => {
            let (source, destination) = addresses.split_at(PATH);
            Client::Unix { source: path(source), destination: path(destination) }
        }
        // Datagrams: valid, but not used for SMTP.
        _ => Client::Unnamed,
    })
}

/// Two addresses of this length, and their ports.
fn inet<const OCTETS: usize>(block: &[u8]) -> Client<'static>
where
    [u8; OCTETS]: Into<IpAddr>,
{
    let end = |nth: usize| {
        let mut address = [0; OCTETS];
        address.copy_from_slice(&block[nth * OCTETS..][..OCTETS]);
        let port = &block[2 * OCTETS + 2 * nth..][..2];
        (address.into(), u16::from_be_bytes([port[0], port[1]]))
    };
    Client::Inet { source: end(0), destination: end(1) }
}

/// The path up to the first NUL. An abstract name begins with NUL, and is not a path.
fn path(padded: &[u8]) -> &[u8] {
    &padded[..memchr::memchr(0, padded).unwrap_or(padded.len())]
}

/// Checks that the TLVs from `start` on end where the header ends, and the checksum if present.
fn check_tlvs(header: &[u8], start: usize) -> Result<(), HeaderError> {
    let (mut at, mut is_summed) = (start, false);
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return Err(HeaderError::TlvCut) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let octets = header.get(value.clone()).ok_or(HeaderError::TlvCut)?;
        if kind == CRC32C {
            let expected: [u8; CHECKSUM] = octets.try_into().map_err(|_| HeaderError::Checksum)?;
            // The sum takes long compared with the rest: it is computed once, not for each of hundreds of TLVs.
            if std::mem::replace(&mut is_summed, true) {
                return Err(HeaderError::Checksum);
            }
            let own = header.iter().enumerate();
            let zeroed = own.map(|(index, octet)| if value.contains(&index) { 0 } else { *octet });
            if crc32c(zeroed) != u32::from_be_bytes(expected) {
                return Err(HeaderError::Checksum);
            }
        }
        at = value.end;
    }
    Ok(())
}

/// CRC-32C (RFC 9260 appendix A), bit by bit: headers are short, and checksums are rare.
pub(super) fn crc32c(octets: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !octets.fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(octet), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}
