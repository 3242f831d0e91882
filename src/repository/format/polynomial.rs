//! The chunker polynomial of a repository. We cut by FastCDC and do not use it; restic does when it adds to a repository of ours,
//! and it must be irreducible and secret per repository, so that lengths of pieces tell nothing about known files.

use super::FormatError;
use super::crypto;

const DEGREE: u32 = 53;

/// A random irreducible polynomial of degree 53 over GF(2), bit `i` being the coefficient of `x^i`.
pub(crate) fn random() -> Result<u64, FormatError> {
    // one in 53 is irreducible, one in 27 of those with a constant term: a million tries never fail
    for _ in 0..1_000_000 {
        let mut bytes = [0; 8];
        crypto::fill_random(&mut bytes)?;
        let candidate = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return Ok(candidate);
        }
    }
    Err(FormatError::new("the system's random numbers are not random"))
}

/// Ben-Or's test: no factor of degree `i` divides `x^(2^i) - x` for any `i` up to half the degree.
pub(crate) fn is_irreducible(polynomial: u64) -> bool {
    let degree = degree(polynomial);
    let mut power = 2; // x^(2^i)
    for _ in 1..=degree / 2 {
        power = multiply(power, power, polynomial);
        if greatest_common_divisor(polynomial, power ^ 2) != 1 {
            return false;
        }
    }
    degree > 0
}

fn degree(polynomial: u64) -> u32 {
    polynomial.checked_ilog2().unwrap_or(0)
}

fn remainder(mut a: u64, modulus: u64) -> u64 {
    while a != 0 && degree(a) >= degree(modulus) {
        a ^= modulus << (degree(a) - degree(modulus));
        if modulus == 1 {
            return 0;
        }
    }
    a
}

fn multiply(mut a: u64, mut b: u64, modulus: u64) -> u64 {
    let top = 1 << degree(modulus);
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a & top != 0 {
            a ^= modulus;
        }
    }
    product
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_irreducible_polynomials() {
        for irreducible in [0b111, 0b1011, 0x11b, 0x3d_a335_8b4d_c173] {
            assert!(is_irreducible(irreducible), "{irreducible:x}");
        }
        // x^2 + 1 = (x + 1)^2, x^2 + x, and a product of two of degree 26 and 27 at most
        for reducible in [0b101, 0b110, 0x11b ^ 2, 0x3d_a335_8b4d_c172] {
            assert!(!is_irreducible(reducible), "{reducible:x}");
        }
    }

    #[test]
    fn random_ones_have_the_degree_that_restic_wants() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert!(degree(a) == 53 && degree(b) == 53 && a != b);
    }
}
